'use strict'

// An open loop: it sends requests at a fixed rate, without waiting for responses. Latency counts from the time at which
// a request was due, so it includes the delay of all requests that wait for a blocked server.
// Argument: JSON { port, rate, seconds, connections }. Output: a JSON line.

const http = require('node:http')
const { quantile } = require('../harness/stats')

const { port, rate, seconds, connections } = JSON.parse(process.argv[2])
const MS_A_REQUEST = 1000 / rate
// The run fails if the server cannot keep up, before the waiting requests fill the memory.
const BACKLOG_MAX = rate * 5

const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
const order = Buffer.from(
  JSON.stringify({
    customer: 4711,
    lines: Array.from({ length: 20 }, (_, id) => ({ id, title: `item ${id}`, price: id * 1.5 }))
  })
)
const headers = { 'content-type': 'application/json', 'content-length': order.length }

// A few hundred URLs, since no real server has only one.
const KINDS = [
  id => ({ path: `/users/${id}` }),
  id => ({ path: `/later/${id}` }),
  () => ({ path: '/orders', method: 'POST', headers, body: order })
]

const amount = Math.round(rate * seconds)
const latencies = []
const lateness = []
let sent = 0
let wrong = 0
let failure

function send(dueAt) {
  const { body, ...options } = KINDS[sent % KINDS.length](sent % 256)
  sent++
  const over = error => {
    if (error) {
      wrong++
      failure ??= error.message
    }
    latencies.push(performance.now() - dueAt)
    if (latencies.length === amount) report()
  }
  const req = http.request({ host: '127.0.0.1', port, agent, ...options }, res => {
    res.resume()
    res.on('end', () => over(res.statusCode === 200 ? null : new Error(`${options.path} returned ${res.statusCode}`)))
  })
  req.on('error', over)
  req.end(body)
}

const started = performance.now()
const startedCpu = process.cpuUsage()
const timer = setInterval(() => {
  const now = performance.now()
  while (sent < amount && started + sent * MS_A_REQUEST <= now) {
    const dueAt = started + sent * MS_A_REQUEST
    lateness.push(now - dueAt)
    send(dueAt)
  }
  if (sent === amount) clearInterval(timer)
  if (sent - latencies.length > BACKLOG_MAX) {
    say({
      error: `${sent - latencies.length} of ${sent} requests wait for a response: the server cannot handle ${rate} a second`
    })
    process.exit(1)
  }
}, 1)

function report() {
  const { user, system } = process.cpuUsage(startedCpu)
  const [p50, p99, p999] = [0.5, 0.99, 0.999].map(q => quantile(latencies, q))
  const lateP99 = quantile(lateness, 0.99)
  const cpuSeconds = (user + system) / 1e6
  say({ amount, wrong, failure, seconds: (performance.now() - started) / 1000, cpuSeconds, p50, p99, p999, lateP99 })
  agent.destroy()
}

function say(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
