'use strict'

// Sends a server requests, and measures the longest time without a response. One connection sends one every 5 ms, and
// three more put load on the server. Argument: the port. Input: the lines `reset` and `longest`. Output: JSON lines, the
// first after the first response.

const http = require('node:http')
const readline = require('node:readline')

const port = Number(process.argv[2])
const agent = new http.Agent({ keepAlive: true })
let longestMs = 0
let answered = 0
let wanted = false

const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)

// After a long pause, a server closes connections that seem idle. Then the request is repeated, as part of one wait.
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

function report() {
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
    if (wanted) report()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

readline
  .createInterface({ input: process.stdin })
  .on('line', line => {
    // After the current response, whose time must count.
    if (line === 'longest') wanted = true
    else report()
  })
  .on('close', () => process.exit(0))

ask().then(() => {
  say({ ready: true })
  for (const work of [ping(), load(), load(), load()]) work.catch(error => say({ error: error.message }))
})
