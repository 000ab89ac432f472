'use strict'

// Asks a server all the time, on one connection every 5 ms and on three more without a pause, and measures for how long it did not answer. In: its port;
// `reset` and `longest`. Out: JSON lines, the first when it has been answered.

const http = require('node:http')
const readline = require('node:readline')

const port = Number(process.argv[2])
const agent = new http.Agent({ keepAlive: true })
let longestMs = 0
let answered = 0
let wanted = false

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

// One that stood for long closes connections that it takes for idle: asked again, and all of it is one wait.
async function ask() {
  const began = performance.now()
  for (;;) {
    try {
      await answer()
      return performance.now() - began
    } catch (error) {
      if (error.code !== 'ECONNRESET') throw error
    }
  }
}

function answer() {
  return new Promise((resolve, reject) => {
    const req = http.get({ host: '127.0.0.1', port, agent }, res => {
      res.resume().on('end', resolve)
      res.on('error', reject)
    })
    req.on('error', reject)
  })
}

function tell() {
  say({ longestMs, answered })
  wanted = false
  longestMs = 0
  answered = 0
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
    if (wanted) tell()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

readline
  .createInterface({ input: process.stdin })
  .on('line', line => {
    // With the answer that it waits for now.
    if (line === 'longest') wanted = true
    else tell()
  })
  .on('close', () => process.exit(0))

ask().then(() => {
  say({ ready: true })
  for (const work of [ping(), load(), load(), load()]) work.catch(error => say({ error: error.message }))
})
