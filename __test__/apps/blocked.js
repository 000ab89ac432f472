'use strict'

/* Requests that block the event loop, each in another way. The numbers of the marked lines are sent to the test. */

const { subscribe } = require('node:diagnostics_channel')
const crypto = require('node:crypto')
const { readFileSync } = require('node:fs')
const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

const messages = []
subscribe('plimsoll:blocked', message => messages.push(message))
const app = express()
app.use(plimsoll({ name: 'blocked' }))

function spin(ms) {
  const end = Date.now() + ms
  let turns = 0
  while (Date.now() < end) turns++ // line: spin
  return turns
}

function match(length) {
  return /^(a+)+$/.test(`${'a'.repeat(length)}!`) // line: match
}

function parse(text) {
  const value = JSON.parse(text) // line: parse
  return value.length
}

function derive(rounds) {
  const key = crypto.pbkdf2Sync('secret', 'salt', rounds, 64, 'sha512') // line: derive
  return key.length
}

/** An array of small objects, so that most of the time is spent in the parser. */
function text(bytes) {
  const row = '{"id":1,"name":"a name of some length","tags":["one","two"]},'
  return `[${row.repeat(bytes / row.length)}0]`
}

app.get('/spin/:ms', (req, res) => res.json(spin(Number(req.params.ms))))
app.get('/match/:length', (req, res) => res.json(match(Number(req.params.length))))
app.get('/parse/:bytes', (req, res) => res.json(parse(text(Number(req.params.bytes)))))
app.get('/derive/:rounds', (req, res) => res.json(derive(Number(req.params.rounds))))
listen(app, {
  messages: () => messages,
  lines: () =>
    Object.fromEntries(
      readFileSync(__filename, 'utf8')
        .split('\n')
        .flatMap((line, index) => {
          const name = /\/\/ line: (\w+)$/.exec(line)
          return name === null ? [] : [[name[1], index + 1]]
        })
    )
})
