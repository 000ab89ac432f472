'use strict'

// A server with `megabytes` megabytes of small objects, which takes heap snapshots into the folder `dir`. Argument: JSON
// { dir, megabytes }. Output: JSON lines, first { port, heapMb }, then the result for each line of stdin, `fork` or
// `stop`.

const readline = require('node:readline')
const express = require('express')
const plimsoll = require('../..')

const { dir, megabytes } = JSON.parse(process.argv[2])

class Session {
  constructor(number) {
    this.number = number
    this.user = { name: `user ${number}`, roles: [number, number + 1] }
    this.text = `some text of session ${number} that is a little longer than the rest of it`
  }
}

const sessions = new Map()
while (process.memoryUsage().heapUsed < megabytes * 1e6) {
  for (let i = 0; i < 10_000; i++) sessions.set(sessions.size, new Session(sessions.size))
}

const app = express()
app.use(plimsoll())
app.get('/', (_req, res) => res.json(Array.from({ length: 200 }, (_, i) => sessions.get(i).user)))

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

const server = app.listen(0, '127.0.0.1', () => {
  say({ port: server.address().port, heapMb: process.memoryUsage().heapUsed / 1e6 })
})
readline
  .createInterface({ input: process.stdin })
  .on('line', mode => plimsoll.snapshot({ path: dir, mode }).then(say, error => say({ failure: error.message })))
  .on('close', () => process.exit(0))
