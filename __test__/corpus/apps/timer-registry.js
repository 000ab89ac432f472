'use strict'

exports.mechanism = 'timers kept in a registry'
exports.expected = { kind: 'timer', route: 'POST /carts/:id', place: 'timeout' }
exports.request = { method: 'POST' }

const expiries = new Map()
const HOUR = 3_600_000

exports.leaky = app => {
  app.post('/carts/:id', async (req, res) => {
    await null
    const expire = () => expiries.delete(req.params.id)
    expiries.set(req.params.id, setTimeout(expire, HOUR)) // timeout
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
    touched.delete([...touched.keys()][touched.size - 100])
    touched.set(req.params.id, Date.now())
    clearTimeout(tooLong)
    res.end()
  })
}
