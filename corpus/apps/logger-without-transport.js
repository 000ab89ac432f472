'use strict'

const { Transform, Writable } = require('node:stream')

exports.mechanism = 'a logger without a transport'
exports.about = `
  The logger is a stream that is piped into transports. Without a transport, as in a library or with a flag, no consumer reads it. Its
  readable side fills up, and then each entry stays on its writable side. \`write\` returns false, but callers of a logger do not check that.`
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
