'use strict'

exports.mechanism = 'timers kept in a registry'
exports.about = `
  A cart expires an hour after its last use. Each cart has its own timer in a map, by its id, so that it can be cleared.
  An abandoned cart retains its timer, its closure and the parameters of its request for that hour. At a thousand
  requests a second, that is millions of timers. The healthy twin stores times, bounds their number, and uses one timer.`
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
    // A timer of the request, which is cleared when it ends.
    const tooLong = setTimeout(() => res.destroy(), HOUR)
    touched.set(req.params.id, Date.now())
    if (touched.size > CARTS) touched.delete(touched.keys().next().value)
    clearTimeout(tooLong)
    res.end()
  })
}
