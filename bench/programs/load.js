'use strict'

// A closed loop: each connection sends its next request after the last response, until `amount` requests are sent.
// Argument: JSON { port, amount, connections }. Output: a JSON line.

const autocannon = require('autocannon')

const { port, amount, connections } = JSON.parse(process.argv[2])

// A few hundred URLs, since no real server has only one.
const requests = Array.from({ length: 256 }, (_, id) => ({ method: 'GET', path: `/users/${id}` }))

let seen = 0
let first
let last

// autocannon rounds its duration up to its sampling interval, so the time is measured here.
function onResponse() {
  seen++
  if (seen === 1) first = process.hrtime.bigint()
  if (seen === amount) last = process.hrtime.bigint()
}

const run = autocannon(
  { url: `http://127.0.0.1:${port}`, amount, connections, requests, sampleInt: 100 },
  (error, result) => {
    if (error) throw error
    const cpu = process.cpuUsage()
    process.stdout.write(
      `${JSON.stringify({
        ok: result['2xx'],
        non2xx: result.non2xx,
        errors: result.errors,
        timeouts: result.timeouts,
        resets: result.resets,
        seconds: last === undefined ? null : Number(last - first) / 1e9,
        loadCpuSeconds: (cpu.user + cpu.system) / 1e6,
        p50: result.latency.p50,
        p99: result.latency.p99
      })}\n`
    )
  }
)
run.on('response', onResponse)
