'use strict'

// Connections of real pools that a request has taken and not returned.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { after, test } = require('node:test')
const express = require('express')
const genericPool = require('generic-pool')
const knex = require('knex')
const mysql = require('mysql2')
const mysqlPromise = require('mysql2/promise')
const pg = require('pg')
const plimsoll = require('../..')
const { connect, request, serve, until } = require('../support/http.js')
const { mariadb } = require('../support/mariadb.js')
const { postgres } = require('../support/postgres.js')

const GRACE = 30

/** Servers are started once for all tests of this file. */
const ended = []
const whole = { after: work => ended.unshift(work), skip: reason => (skipped = reason) }
let skipped
after(async () => {
  for (const work of ended) await work()
})
const started = { postgres: null, mariadb: null }
const POSTGRES = t => starting(t, 'postgres', postgres)
const MARIADB = t => starting(t, 'mariadb', mariadb)

async function starting(t, name, start) {
  started[name] ??= start(whole)
  const server = await started[name]
  if (server === null) t.skip(skipped)
  return server
}

/** An app with these routes under `/name`, its findings and a client. */
async function app(t, name, routes) {
  const app = express()
  app.use(plimsoll({ recorder: false }))
  for (const [path, handler] of Object.entries(routes)) app.get(`/${name}/${path}`, handler)
  app.use((error, _req, res, _next) => {
    if (!res.headersSent) res.status(500).end(error.message)
  })
  const server = await serve(app)
  t.after(() => server.close())
  const found = path => {
    const all = plimsoll.stats().findings
    return all.filter(({ kind, route }) => kind === 'unclosed' && route === `GET /${name}/${path}`)
  }
  return {
    ...server,
    found,
    get: path => request(server.port, `/${name}/${path}`),
    until: (path, count) =>
      until(() => {
        const all = found(path)
        return all.length > 0 && all[0].count === count && all
      }, `${count} times unclosed: ${name}/${path}`)
  }
}

/** The line of `wanted` in this file, which the origin must name. */
const lines = require('node:fs').readFileSync(__filename, 'utf8').split('\n')
function at(wanted) {
  const line = lines.findIndex(text => text.endsWith(`// ${wanted}`)) + 1
  assert.ok(line > 0, wanted)
  return new RegExp(`^__test__[/\\\\]leaks[/\\\\]watch-pool\\.test\\.js:${line}:\\d+( \\(.*\\))?$`)
}

function check(found, wanted, count) {
  assert.equal(found.length, 1, JSON.stringify(found))
  assert.match(found[0].origin, at(wanted))
  assert.equal(found[0].count, count)
  assert.equal(found[0].severity, 'critical')
  assert.match(found[0].advice, /was not returned when its request ended\. .* \d+ are missing now/)
  assert.ok(found[0].perThousand > 0 && found[0].perThousand <= 1000)
}

const settle = () => new Promise(resolve => setTimeout(resolve, 5 * GRACE))

test('pg: a client that is not released is found with its route and place; one that is, is not', async t => {
  const connectionString = await POSTGRES(t)
  if (connectionString === null) return
  const pool = plimsoll.watchPool(new pg.Pool({ connectionString, max: 10 }), { grace: GRACE })
  const kept = []
  t.after(async () => {
    for (const client of kept) client.release()
    await pool.end()
  })
  const { get, found, until } = await app(t, 'pg', {
    async leak(_req, res) {
      await null
      const client = await pool.connect() // pg promise
      kept.push(client)
      res.end()
    },
    callback(_req, res) {
      const took = (error, client) => {
        kept.push(client)
        res.end(String(error))
      }
      pool.connect(took) // pg callback
    },
    async healthy(_req, res) {
      const client = await pool.connect()
      try {
        await client.query('SELECT 1')
      } finally {
        client.release()
      }
      res.end()
    },
    async query(_req, res) {
      await pool.query('SELECT 1')
      res.end()
    },
    async late(_req, res) {
      const client = await pool.connect()
      res.end()
      setTimeout(() => client.release(), GRACE / 2)
    },
    async scoped(req, res) {
      plimsoll.scope()(req, res, () => {})
      const client = req.scope.use(await pool.connect())
      await client.query('SELECT 1')
      res.end()
    }
  })
  for (let i = 0; i < 3; i++) await get('leak')
  for (let i = 0; i < 2; i++) await get('callback')
  for (const path of ['healthy', 'query', 'late', 'scoped']) for (let i = 0; i < 5; i++) await get(path)
  check(await until('leak', 3), 'pg promise', 3)
  check(await until('callback', 2), 'pg callback', 2)
  await settle()
  for (const path of ['healthy', 'query', 'late', 'scoped']) assert.deepEqual(found(path), [], path)
  assert.deepEqual([pool.totalCount - pool.idleCount, kept.length], [5, 5])
})

test('pg: a client that comes when its request has given up waiting is found as well', async t => {
  const connectionString = await POSTGRES(t)
  if (connectionString === null) return
  const pool = plimsoll.watchPool(new pg.Pool({ connectionString, max: 1 }), { grace: GRACE })
  const { get, until } = await app(t, 'orphan', {
    async race(_req, res) {
      const timeout = new Promise(resolve => setTimeout(resolve, 5))
      await Promise.race([pool.connect(), timeout]) // orphan
      res.end()
    }
  })
  const holder = await pool.connect()
  await get('race')
  holder.release()
  check(await until('race', 1), 'orphan', 1)
})

test('with reclaim the pool is never exhausted, and a late release does not throw', async t => {
  const connectionString = await POSTGRES(t)
  if (connectionString === null) return
  const pool = new pg.Pool({ connectionString, max: 2 })
  assert.equal(plimsoll.watchPool(pool, { grace: 0, reclaim: true }), pool)
  plimsoll.watchPool(pool)
  t.after(() => pool.end())
  const kept = []
  const { get, found } = await app(t, 'reclaim', {
    async leak(_req, res) {
      const client = await pool.connect()
      kept.push(client)
      await client.query('BEGIN')
      res.end()
    }
  })
  for (let i = 0; i < 10; i++) assert.equal((await get('leak')).status, 200)
  await until(() => found('leak')[0]?.count === 10, 'all ten')
  assert.equal(found('leak')[0].severity, 'warning')
  for (const client of kept) client.release()
  assert.equal((await pool.query('SELECT 1 AS one')).rows[0].one, 1)
})

test('mysql2: with callbacks and with promises', async t => {
  const options = await MARIADB(t)
  if (options === null) return
  const limit = { ...options, connectionLimit: 4 }
  const plain = plimsoll.watchPool(mysql.createPool(limit), { grace: GRACE })
  const promising = plimsoll.watchPool(mysqlPromise.createPool(limit), { grace: GRACE })
  const reclaiming = plimsoll.watchPool(mysqlPromise.createPool(limit), { grace: 0, reclaim: true })
  t.after(async () => {
    plain.end()
    await promising.end()
    await reclaiming.end()
  })
  const { get, found, until } = await app(t, 'mysql', {
    callback(_req, res) {
      plain.getConnection(() => res.end()) // mysql2 callback
    },
    async promise(_req, res) {
      await promising.getConnection() // mysql2 promise
      res.end()
    },
    async reclaimed(_req, res) {
      const connection = await reclaiming.getConnection()
      await connection.query('SELECT 1')
      res.end()
    },
    healthy(_req, res) {
      plain.getConnection((_error, connection) => {
        connection.query('SELECT 1', () => {
          connection.release()
          res.end()
        })
      })
    },
    async query(_req, res) {
      await promising.query('SELECT 1')
      await promising.execute('SELECT 1')
      res.end()
    },
    async destroyed(_req, res) {
      const connection = await promising.getConnection()
      connection.destroy()
      res.end()
    }
  })
  for (const path of ['callback', 'promise']) for (let i = 0; i < 2; i++) await get(path)
  for (let i = 0; i < 10; i++) assert.equal((await get('reclaimed')).status, 200)
  for (const path of ['healthy', 'query', 'destroyed']) await Promise.all(Array.from({ length: 10 }, () => get(path)))
  check(await until('callback', 2), 'mysql2 callback', 2)
  check(await until('promise', 2), 'mysql2 promise', 2)
  await until('reclaimed', 10)
  await settle()
  for (const path of ['healthy', 'query', 'destroyed']) assert.deepEqual(found(path), [], path)
})

test('generic-pool, over clients of pg', async t => {
  const connectionString = await POSTGRES(t)
  if (connectionString === null) return
  const factory = {
    async create() {
      const client = new pg.Client({ connectionString })
      await client.connect()
      return client
    },
    destroy: client => client.end()
  }
  const pool = plimsoll.watchPool(genericPool.createPool(factory, { max: 4 }), { grace: GRACE })
  const reclaiming = plimsoll.watchPool(genericPool.createPool(factory, { max: 2 }), { grace: 0, reclaim: true })
  const kept = []
  t.after(async () => {
    for (const client of kept) await pool.release(client)
    for (const each of [pool, reclaiming]) {
      await each.drain()
      await each.clear()
    }
  })
  const { get, found, until } = await app(t, 'generic', {
    async leak(_req, res) {
      kept.push(await pool.acquire()) // generic-pool
      res.end()
    },
    async reclaimed(_req, res) {
      await reclaiming.acquire()
      res.end()
    },
    async healthy(_req, res) {
      await pool.use(client => client.query('SELECT 1'))
      await pool.destroy(await pool.acquire())
      res.end()
    }
  })
  for (let i = 0; i < 2; i++) await get('leak')
  for (let i = 0; i < 6; i++) assert.equal((await get('reclaimed')).status, 200)
  await Promise.all(Array.from({ length: 6 }, () => get('healthy')))
  check(await until('leak', 2), 'generic-pool', 2)
  await until('reclaimed', 6)
  await settle()
  assert.deepEqual(found('healthy'), [])
})

for (const [client, server] of [
  ['pg', POSTGRES],
  ['mysql2', MARIADB]
]) {
  test(`knex over ${client}`, async t => {
    const connection = await server(t)
    if (connection === null) return
    const open = (max, options) => plimsoll.watchPool(knex({ client, connection, pool: { min: 0, max } }), options)
    const db = open(4, { grace: GRACE })
    const reclaiming = open(2, { grace: 0, reclaim: true })
    const kept = []
    t.after(async () => {
      for (const trx of kept) await trx.rollback()
      await db.destroy()
      await reclaiming.destroy()
    })
    const name = `knex-${client}`
    const { get, found, until } = await app(t, name, {
      async leak(_req, res) {
        const trx = await db.transaction() // knex
        await trx.raw('SELECT 1')
        kept.push(trx)
        res.end()
      },
      async reclaimed(_req, res) {
        await reclaiming.client.acquireConnection()
        res.end()
      },
      async healthy(_req, res) {
        await db.transaction(trx => trx.raw('SELECT 1'))
        await db.raw('SELECT 1')
        res.end()
      }
    })
    for (let i = 0; i < 2; i++) await get('leak')
    for (let i = 0; i < 6; i++) assert.equal((await get('reclaimed')).status, 200)
    await Promise.all(Array.from({ length: 6 }, () => get('healthy')))
    const leaks = await until('leak', 2)
    check(leaks, 'knex', 2)
    await until('reclaimed', 6)
    await settle()
    assert.deepEqual(found('healthy'), [])
  })
}

test('a pool of ten under aborts is never exhausted, and all ten are idle at the end', async t => {
  const REQUESTS = process.env.PLIMSOLL_SLOW ? 20_000 : 3000
  const connectionString = await POSTGRES(t)
  if (connectionString === null) return
  const pool = plimsoll.watchPool(
    new pg.Pool({ connectionString, max: 10, connectionTimeoutMillis: 20_000, idleTimeoutMillis: 0 }),
    { grace: GRACE }
  )
  t.after(() => pool.end())
  const failures = []
  const scope = plimsoll.scope()
  const { port, found } = await app(t, 'storm', {
    work: (req, res, next) =>
      scope(req, res, async () => {
        try {
          const client = req.scope.use(await pool.connect())
          await client.query('SELECT pg_sleep($1)', [Math.random() * 0.004])
          res.end('done')
        } catch (error) {
          if (error.code !== 'ERR_PLIMSOLL_SCOPE_OVER') failures.push(error)
          next(error)
        }
      })
  })
  let sent = 0
  let aborted = 0
  let answered = 0
  async function client() {
    while (sent < REQUESTS) {
      sent += 1
      if (sent % 3 !== 0) {
        assert.equal((await request(port, '/storm/work')).body, 'done')
        answered += 1
        continue
      }
      const { socket } = await connect(port)
      socket.write('GET /storm/work HTTP/1.1\r\nHost: a\r\n\r\n')
      await new Promise(resolve => setTimeout(resolve, Math.random() * 5))
      socket.destroy()
      aborted += 1
    }
  }
  await Promise.all(Array.from({ length: 30 }, client))
  assert.deepEqual(failures, [])
  assert.deepEqual([answered + aborted, aborted >= REQUESTS / 3 - 1], [sent, true])
  await until(() => pool.idleCount === 10 && pool.waitingCount === 0, 'ten idle connections')
  await settle()
  assert.deepEqual(found('work'), [])
  const { rows } = await pool.query(
    "SELECT count(*)::int AS open FROM pg_stat_activity WHERE backend_type = 'client backend'"
  )
  assert.ok(rows[0].open >= 10)
})

test('what is no pool is a TypeError that names the ways, and options are checked', () => {
  for (const value of [null, undefined, {}, 'pool', new pg.Client(), mysql, () => {}]) {
    assert.throws(() => plimsoll.watchPool(value), {
      name: 'TypeError',
      message: /watchPool\(\) takes a pool of pg, mysql2, mysql, generic-pool or tarn, or a knex instance; got/
    })
  }
  const pool = new pg.Pool()
  assert.throws(() => plimsoll.watchPool(pool, { grace: -1 }), { name: 'TypeError', message: /grace/ })
  assert.throws(() => plimsoll.watchPool(pool, { reclaim: 'yes' }), { name: 'TypeError', message: /reclaim/ })
  assert.throws(() => plimsoll.watchPool(pool, { wait: 1 }), { name: 'TypeError', message: /no option 'wait'/ })
})
