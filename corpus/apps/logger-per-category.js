'use strict'

const { Writable } = require('node:stream')

exports.mechanism = 'a logger per category'
exports.about = `
  \`getLogger(category)\` creates a logger on the first call and caches it, which suits a dozen modules. Here the category contains the user's id.
  Each user gets a permanent logger, with levels, an appender and its layout. The healthy twin has one logger and puts the user into the entry.`
exports.reference = 'https://github.com/CyberSource/cybersource-rest-client-node/issues/141'
exports.route = 'GET /users/:id'
exports.expected = { leak: true, class: 'Logger', holder: 'loggers' }

class Logger {
  // allocation
  constructor(category) {
    this.category = category
    this.levels = { debug: false, info: true, warn: true, error: true }
    this.appenders = [new Writable({ objectMode: true, write: (_entry, _encoding, done) => done() })]
  }

  info(message, context) {
    for (const appender of this.appenders) appender.write({ category: this.category, message, ...context })
  }
}

const loggers = new Map()

// function
function getLogger(category) {
  let logger = loggers.get(category)
  if (logger === undefined) {
    logger = new Logger(category)
    loggers.set(category, logger) // leak
  }
  return logger
}

exports.leaky = app => {
  // handler
  app.get('/users/:id', (req, res) => {
    getLogger(`users.${req.params.id}`).info('asked for')
    res.json({ id: req.params.id })
  })
}

exports.healthy = app => {
  app.get('/users/:id', (req, res) => {
    getLogger('users').info('asked for', { user: req.params.id })
    res.json({ id: req.params.id })
  })
}
