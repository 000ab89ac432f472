'use strict'

// An app and its plugin with a copy of plimsoll each. With APP_FIRST the app's is loaded first, and the plugin's again
// at the end.

const copies = JSON.parse(process.env.COPIES)
const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const express = require('express')
const { drive } = require(process.env.SEEN)
const order = process.env.APP_FIRST ? [copies.app, copies.plugin] : [copies.plugin, copies.app]
const [first, second] = order.map(copy => require(copy))

async function main() {
  const names = Object.keys(first)
  const seen = [await drive(express, first, 'first'), await drive(express, second, 'second')]
  // The app's copy tracks, the plugin's guards.
  const mixed = Object.assign(options => second(options), second, { scope: first.scope, limit: first.limit })
  seen.push(await drive(express, mixed, 'mixed'))
  if (process.env.APP_FIRST) {
    for (const file of Object.keys(require.cache)) if (file.startsWith(copies.plugin)) delete require.cache[file]
    require(copies.plugin)
    await new Promise(setImmediate)
  }
  const addons = process.report.getReport().sharedObjects.filter(file => file.endsWith('.node'))
  console.log(
    JSON.stringify({ names, same: names.filter(name => first[name] === second[name]), seen, addons, warnings })
  )
}

main()
