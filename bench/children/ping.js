'use strict'

// Asks a server all the time, on one connection every 5 ms and on three more without a pause, and measures for how long it did not answer. In: its port;
// `reset` and `longest`. Out: JSON lines, the first when it has been answered.

const http = require('node:http')
const readline = require('node:readline')

const port = Number(process.argv[2])
const agent = new http.Agent({ keepAlive: true })
let longestMs = 0
let answered = 0

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

function ask() {
  return new Promise((resolve, reject) => {
    const began = performance.now()
    const req = http.get({ host: '127.0.0.1', port, agent }, res => {
      res.resume().on('end', () => resolve(performance.now() - began))
      res.on('error', reject)
    })
    req.on('error', reject)
  })
}

async function load() {
  for (;;) {
    await ask()
    await new Promise(resolve => setTimeout(resolve, 2))
  }
}

async function ping() {
  for (;;) {
    const ms = await ask()
    if (ms > longestMs) longestMs = ms
    answered += 1
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

readline
  .createInterface({ input: process.stdin })
  .on('line', line => {
    if (line === 'longest') say({ longestMs, answered })
    else say({ reset: true })
    longestMs = 0
    answered = 0
  })
  .on('close', () => process.exit(0))

ask().then(() => {
  say({ ready: true })
  for (const work of [ping(), load(), load(), load()]) work.catch(error => say({ error: error.message }))
})
