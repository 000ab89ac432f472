'use strict'

exports.mechanism = 'listeners added per request to `process`'
exports.expected = { kind: 'listener', route: 'POST /jobs', place: 'process' }
exports.request = { method: 'POST' }

exports.leaky = app => {
  app.post('/jobs', async (_req, res) => {
    await null
    process.on('SIGHUP', () => res.destroy()) // process
    res.status(202).end()
  })
}

exports.healthy = app => {
  const open = new Set()
  process.on('SIGHUP', () => {
    for (const res of open) res.destroy()
  })
  app.post('/jobs', async (_req, res) => {
    await null
    open.add(res)
    res.on('close', () => open.delete(res))
    res.status(202).end()
  })
}
