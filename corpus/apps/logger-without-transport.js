'use strict'

const { Transform, Writable } = require('node:stream')

exports.mechanism = 'a logger without a transport'
exports.about = `
  The logger is a stream that transports are piped to. Where none is configured, as in a library or behind a flag, nobody reads it: its readable side fills up, and then each
  entry waits on its writable side, for ever. \`write\` says so by returning false, which nobody asks of a logger.`
exports.reference = 'https://github.com/winstonjs/winston/issues/2114'
exports.route = 'GET /orders/:id'
exports.expected = { leak: true, class: 'Entry', holder: 'logger' }

class Entry {
  // allocation
  constructor(level, message, context) {
    this.level = level
    this.message = message
    this.context = context
    this.at = new Date()
  }
}

class Logger extends Transform {
  constructor() {
    super({ objectMode: true })
  }

  _transform(entry, _encoding, done) {
    done(null, entry)
  }

  // function
  info(message, context) {
    this.write(new Entry('info', message, context)) // leak
  }
}

function orders(app) {
  const logger = new Logger()
  // handler
  app.get('/orders/:id', (req, res) => {
    logger.info(`order ${req.params.id} was asked for`, {
      id: req.params.id,
      url: req.originalUrl,
      at: performance.now()
    })
    res.json({ id: req.params.id })
  })
  return logger
}

exports.leaky = app => {
  orders(app)
}

exports.healthy = app => {
  orders(app).pipe(new Writable({ objectMode: true, write: (_entry, _encoding, done) => done() }))
}
