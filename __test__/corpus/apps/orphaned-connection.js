'use strict'

const pg = require('pg')
const plimsoll = require('../../..')

exports.mechanism = 'a pool time-out that orphans the connection'
exports.expected = { kind: 'unclosed', route: 'GET /slow', place: 'orphan' }
exports.needs = 'postgres'

const pool = plimsoll.watchPool(new pg.Pool({ connectionString: process.env.POSTGRES, max: 4 }))
const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

/** Somebody else's, which hold all of it for a while. */
async function busy() {
  const clients = await Promise.all(Array.from({ length: 4 }, () => pool.connect()))
  await pause(20)
  for (const client of clients) client.release()
}

exports.leaky = app => {
  let held = false
  app.get('/slow', async (_req, res) => {
    if (!held) {
      held = true
      busy()
    }
    const client = await Promise.race([pool.connect(), pause(2)]) // orphan
    if (!client) return res.status(503).end()
    client.release()
    res.end()
  })
}

exports.healthy = app => {
  let held = false
  app.get('/slow', async (_req, res) => {
    if (!held) {
      held = true
      busy()
    }
    const taken = pool.connect()
    const client = await Promise.race([taken, pause(2)])
    if (!client) {
      taken.then(late => late.release())
      return res.status(503).end()
    }
    client.release()
    res.end()
  })
}
