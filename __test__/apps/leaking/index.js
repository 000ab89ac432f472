'use strict'

/*
 * One route retains a session of each request, after an await in a module of its own. Another one fills a cache that is
 * full soon.
 */

const inspector = require('node:inspector')
const express = require('express')
const plimsoll = require('../../..')
const listen = require('../support.js')
const users = require('./users.js')

const [options = '{}', profiled] = process.argv.slice(2)

const app = express()
app.use(plimsoll({ recorder: false, ...JSON.parse(options) }))
app.get('/users/:id', async function show(req, res) {
  const session = await users.getUser(req.params.id)
  res.json(session.user)
})
let most = 500
const recent = []
app.get('/recent/:id', (req, res) => {
  if (recent.push({ id: req.params.id, words: new Array(100).fill(0) }) > most) recent.shift()
  res.json(recent.length)
})

const session = new inspector.Session()
session.connect()
const ask = method =>
  new Promise((resolve, reject) => session.post(method, (error, result) => (error ? reject(error) : resolve(result))))
if (profiled === 'profiled') session.post('HeapProfiler.startSampling')

listen(app, {
  /** Whether V8's sampling heap profiler is on. */
  sampling: () =>
    ask('HeapProfiler.getSamplingProfile').then(
      () => true,
      () => false
    ),
  /** Like another profiler that ends. */
  steal: () => ask('HeapProfiler.stopSampling'),
  stop: () => users.stop(),
  /** Another leak: the former cache has no bound any more. */
  other: () => {
    most = Number.POSITIVE_INFINITY
  }
})
