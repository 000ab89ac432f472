'use strict'

/* Sends the demo a bounded load over loopback, a few hundred requests a second, until the demo ends. */

const http = require('node:http')

const port = Number(process.argv[2])
const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
let sent = 0

function send(method, path, body) {
  const req = http.request({ host: '127.0.0.1', port, method, path, agent }, res => res.resume())
  // The server closes at the end of the demo, and may close the connection of a refused upload.
  req.on('error', () => {})
  req.end(body)
  return req
}

const within = Buffer.alloc(200 << 10)
const over = Buffer.alloc(3 << 20)

const kinds = [
  { every: 1, run: () => send('GET', `/users/${sent}`) },
  { every: 1, run: () => send('GET', `/orders/${sent}`) },
  { every: 1, run: () => send('GET', `/products/${sent % 300}`) },
  { every: 2, run: () => send('GET', '/health') },
  { every: 10, run: () => send('GET', '/reports/2026') },
  { every: 8, run: () => send('GET', '/slow') },
  { every: 12, run: () => send('POST', '/uploads', within) },
  { every: 30, run: () => send('POST', '/uploads', over) },
  { every: 25, run: abortUpload },
  { every: 40, run: () => send('GET', '/no/such/page') }
]

/** A client that disconnects in the middle of its upload. */
function abortUpload() {
  const req = http.request({
    host: '127.0.0.1',
    port,
    method: 'POST',
    path: '/uploads',
    headers: { 'content-length': 500_000 }
  })
  req.on('error', () => {})
  req.write(Buffer.alloc(20_000))
  setTimeout(() => req.destroy(), 100)
}

setInterval(() => {
  sent += 1
  for (const { every, run } of kinds) if (sent % every === 0) run()
}, 10)

// The demo has ended or crashed.
process.on('disconnect', () => process.exit(0))
