'use strict'

exports.mechanism = 'listeners added per request to `process`'
exports.about = `
  Each request adds a listener for a signal to \`process\`, the emitter that is never
  collected. Node warns once, at the eleventh listener, with the stack of that one only.`
exports.reference = 'https://github.com/log4js-node/log4js-node/issues/852'
exports.route = 'POST /jobs'
exports.expected = {
  leak: true,
  kinds: { listener: 'leak', retained: 'handler' },
  class: 'ServerResponse',
  holder: 'process'
}

exports.leaky = app => {
  // handler
  app.post('/jobs', async (_req, res) => {
    await null
    process.on('SIGHUP', () => res.destroy()) // leak
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
