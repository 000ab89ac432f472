'use strict'

/*
 * An Express server with Plimsoll. A second process sends it a bounded load over loopback. One route leaks on purpose
 * (examples/leaky). Within 90 seconds the screen shows the route, what holds the objects, and the line that adds them.
 *
 *   npm start                     until Ctrl-C
 *   npm start -- --seconds 10     for ten seconds
 */

const { fork } = require('node:child_process')
const { join } = require('node:path')
const { parseArgs } = require('node:util')
const express = require('express')
const plimsoll = require('../..')
const { shop } = require('../leaky/shop.js')
const { leak, table, footer } = require('./screen.js')

const HELP = 'usage: npm start [-- --seconds N]   (N: a whole number from 1 to 3600. Default: until Ctrl-C)'

function app() {
  const app = express()
  app.use(plimsoll({ name: 'demo' }))
  app.use(plimsoll.limit('1mb'))
  app.get('/metrics', plimsoll.metrics())
  app.get('/health', (_req, res) => res.send('ok'))
  app.use(shop())
  app.get('/users/:id', (req, res) => res.json({ id: req.params.id, name: 'Ada' }))
  app.get('/reports/:year', (_req, res) => {
    const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, total: id * 1.5 }))
    res.json({ rows: rows.length })
  })
  app.get('/slow', (_req, res) => setTimeout(() => res.send('at last'), 400))
  app.post('/uploads', express.raw({ type: () => true, limit: '10mb' }), (req, res) =>
    res.json({ bytes: req.body.length })
  )
  // A refused client gets the app's own error response.
  app.use((error, _req, res, _next) => res.status(error.status ?? 500).json({ error: error.type ?? 'internal' }))
  return app
}

function secondsOf(argv) {
  try {
    const { values } = parseArgs({ args: argv, options: { seconds: { type: 'string' }, help: { type: 'boolean' } } })
    if (values.help) return { help: true }
    if (values.seconds === undefined) return { seconds: Number.POSITIVE_INFINITY }
    const seconds = Number(values.seconds)
    if (Number.isInteger(seconds) && seconds >= 1 && seconds <= 3600) return { seconds }
    return { error: `--seconds takes a whole number from 1 to 3600; got ${values.seconds}` }
  } catch (error) {
    return { error: error.message }
  }
}

function main() {
  const { seconds, help, error } = secondsOf(process.argv.slice(2))
  if (help || error) {
    console.log(error ? `${error}\n${HELP}` : HELP)
    process.exitCode = error ? 2 : 0
    return
  }
  const server = app().listen(0, '127.0.0.1', () => {
    const { port } = server.address()
    const load = fork(join(__dirname, 'load.js'), [String(port)])
    const until = Date.now() + seconds * 1000
    const show = setInterval(() => {
      if (Date.now() >= until) stop()
      else draw(port)
    }, 1000)
    let stopped = false

    function stop() {
      if (stopped) return
      stopped = true
      clearInterval(show)
      load.kill()
      server.close()
      server.closeAllConnections()
      // Later, since the last requests end when their connections close.
      setImmediate(() => {
        draw(port)
        console.log(footer(plimsoll.stats()))
        process.exit(0)
      })
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
    load.on('exit', (code, signal) => {
      if (!stopped) console.error(`the load ended early (${signal ?? code})`)
      stop()
    })
  })
}

function draw(port) {
  const stats = plimsoll.stats()
  const home = process.stdout.isTTY ? '\x1b[H\x1b[2J' : ''
  console.log(`${home}http://127.0.0.1:${port}  (also /metrics)\n${table(stats)}\n\n${leak(stats)}\n`)
}

main()
