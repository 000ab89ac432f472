'use strict'

/* Retains objects, serves, allocates all the time, and takes heap snapshots on request. */

const { spawnSync } = require('node:child_process')
const express = require('express')
const plimsoll = require('../..')
const listen = require('./support.js')

class LeakedSession {
  constructor(number) {
    this.number = number
    this.items = [`item ${number}`, { number }]
  }
}

const held = []
for (let i = 0; i < Number(process.env.OBJECTS ?? 5000); i++) held.push(new LeakedSession(i))

const app = express()
app.use(plimsoll({ snapshotSignal: process.env.SIGNAL }))
app.get('/', (_req, res) => {
  res.json(Array.from({ length: 500 }, (_, i) => ({ i, held: held.length })))
})

const plain = ({ message, code, name }) => ({ error: message, code, name })

listen(app, {
  snapshot: options => plimsoll.snapshot(options).catch(plain),
  async two(options) {
    const [one, other] = await Promise.allSettled([plimsoll.snapshot(options), plimsoll.snapshot(options)])
    return { one: one.status, other: other.reason && plain(other.reason) }
  },
  spawn: () => spawnSync(process.execPath, ['-p', '1 + 1'], { encoding: 'utf8' }).stdout
})
