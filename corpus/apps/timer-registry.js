'use strict'

exports.mechanism = 'timers kept in a registry'
exports.about = `
  A cart expires an hour after it was touched. Each one has a timer of its own, kept by its id so that it could be cleared; a cart that is never asked for again
  keeps its timer, its closure and its request's parameters for the hour. At a thousand requests a second that is millions. The healthy twin notes when a cart was touched, bounds
  what it notes, and sweeps with one timer.`
exports.route = 'POST /carts/:id'
exports.expected = { leak: true, kinds: { timer: 'leak', retained: 'handler' }, class: 'Timeout', holder: 'expiries' }

const expiries = new Map()
const HOUR = 3_600_000
const CARTS = 100

exports.leaky = app => {
  // handler
  app.post('/carts/:id', async (req, res) => {
    await null
    const expire = () => expiries.delete(req.params.id)
    expiries.set(req.params.id, setTimeout(expire, HOUR)) // leak
    res.end()
  })
}

exports.healthy = app => {
  const touched = new Map()
  setInterval(() => {
    for (const [id, at] of touched) if (Date.now() - at > HOUR) touched.delete(id)
  }, HOUR).unref()
  app.post('/carts/:id', async (req, res) => {
    await null
    // A time-out of its own, for as long as the request lasts.
    const tooLong = setTimeout(() => res.destroy(), HOUR)
    touched.set(req.params.id, Date.now())
    if (touched.size > CARTS) touched.delete(touched.keys().next().value)
    clearTimeout(tooLong)
    res.end()
  })
}
