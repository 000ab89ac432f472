'use strict'

/*
 * A server under more load than its heap has room for. This process sends the load over loopback. Each second it
 * prints the numbers of served and refused requests, and the size of the live heap.
 *
 *   node examples/shedding            with shed()
 *   node examples/shedding --bare     without shed(): the server dies
 */

const { fork } = require('node:child_process')
const http = require('node:http')
const { setTimeout: sleep } = require('node:timers/promises')

const HEAP_MB = 200
const CLIENTS = 200
const HOLD_MS = 4000
const SECONDS = 15

/** The result of a query, 2.4 MB of small objects, which is retained while the response is created. */
function rows() {
  return Array.from({ length: 20_000 }, (_, id) => ({ id, name: `n${id}`, price: id * 1.5 }))
}

function serve(bare) {
  const express = require('express')
  const app = express()
  if (!bare) {
    const plimsoll = require('../..')
    app.use(plimsoll({ name: 'shedding' }))
    app.use(plimsoll.shed({ exempt: ['/stats', '/readyz'] }))
    app.get('/readyz', plimsoll.ready())
    app.get('/stats', (_req, res) => {
      const { pressure, requests, nearLimit } = plimsoll.stats()
      res.json({ pressure, shed: requests.shed, nearLimit })
    })
  }
  app.get('/orders', (_req, res) => {
    const held = rows()
    setTimeout(() => res.json({ rows: held.length }), HOLD_MS)
  })
  // Sends the 503 with its Retry-After, as the default error handler does, but prints nothing.
  app.use((error, _req, res, _next) => {
    res
      .set(error.headers ?? {})
      .status(error.status ?? 500)
      .end()
  })
  const server = app.listen(0, '127.0.0.1', () => process.send(server.address().port))
  process.on('disconnect', () => process.exit())
}

function get(port, path, agent) {
  return new Promise(resolve => {
    const req = http.get({ host: '127.0.0.1', port, path, agent }, res => {
      let body = ''
      res.on('data', text => {
        body += text
      })
      res.on('end', () => resolve({ status: res.statusCode, body }))
      res.on('error', () => resolve({ status: 0 }))
    })
    req.on('error', () => resolve({ status: 0 }))
  })
}

async function main() {
  const bare = process.argv.includes('--bare')
  const server = fork(__filename, ['--serve', ...(bare ? ['--bare'] : [])], {
    execArgv: [`--max-old-space-size=${HEAP_MB}`]
  })
  let ended = null
  server.on('exit', (code, signal) => {
    ended = signal ?? code
  })
  const port = await new Promise(resolve => server.once('message', resolve))
  const agent = new http.Agent({ keepAlive: true })
  const seen = { 200: 0, 503: 0, 0: 0 }
  const end = Date.now() + SECONDS * 1000
  const clients = Array.from({ length: CLIENTS }, async (_, client) => {
    await sleep(client * 10)
    while (Date.now() < end && ended === null) {
      const { status } = await get(port, '/orders', agent)
      seen[status] += 1
      if (status !== 200) await sleep(200 + Math.random() * 200)
    }
  })
  const report = setInterval(async () => {
    const { status, body } = bare ? {} : await get(port, '/stats')
    const heap = status === 200 ? JSON.parse(body).pressure.heap : null
    const live = heap === null ? '' : `; live heap: ${Math.round(heap * 100)} % of the old generation`
    console.log(`${seen[200]} served, ${seen[503]} refused, ${seen[0]} without a response${live}`)
  }, 1000)
  await Promise.all(clients)
  clearInterval(report)
  console.log(ended === null ? 'The server has survived.' : `The server has died: ${ended}.`)
  agent.destroy()
  if (ended === null) server.disconnect()
}

if (process.argv.includes('--serve')) serve(process.argv.includes('--bare'))
else main()
