'use strict'

const { setTimeout } = require('node:timers')
const { native, reason } = require('../core/addon.js')
const options = require('../core/options.js')
const { outside } = require('../core/outside-requests.js')
const runtime = require('./recorder.js')

const OPENMETRICS = 'application/openmetrics-text'
const CONTENT_TYPES = {
  openmetrics: `${OPENMETRICS}; version=1.0.0; charset=utf-8`,
  text: 'text/plain; version=0.0.4; charset=utf-8'
}
const OPTIONS = ['only', 'scope', 'histograms', 'buckets']
/** Seconds. The record counts latencies in these buckets, so a histogram can have no others. */
const BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60]
const BUCKETS_TAKE = `an array of different numbers of seconds, each one of ${BOUNDS.join(', ')}`
const REUSE_MS = 1000

/** Options as JSON -> a promise of the text. All handlers of the process share it. */
const renderings = new Map()
/** Settles when the newest rendering has ended. There is one at a time, for any options. */
let newest = Promise.resolve()

/** Handler that responds with Prometheus text or, if the scraper prefers it, OpenMetrics. */
function metrics(given) {
  const settings = settingsOf('metrics()', given, OPTIONS)
  runtime.start()

  return function plimsollMetrics(req, res, next) {
    if (native === null) return unavailable(res)
    const openmetrics = prefersOpenMetrics(req.headers.accept)
    rendered({ ...settings, openmetrics })
      .then(body => isAnswered(res) || send(req, res, body, openmetrics))
      .catch(error => isAnswered(res) || next(error))
  }
}

/** True if other code, such as a timeout middleware, has responded during the rendering, or if the client is gone. */
function isAnswered(res) {
  return res.headersSent || res.writableEnded || res.destroyed
}

function send(req, res, body, openmetrics) {
  res.statusCode = 200
  res.setHeader('content-type', openmetrics ? CONTENT_TYPES.openmetrics : CONTENT_TYPES.text)
  res.setHeader('vary', 'accept')
  res.setHeader('content-length', body.length)
  res.end(req.method === 'HEAD' ? undefined : body)
}

/** The same as text, for a registry of one's own. Rejects without a binary. */
metrics.text = async function text(given) {
  const settings = settingsOf('metrics.text()', given, [...OPTIONS, 'openmetrics'])
  const { openmetrics = false } = { __proto__: null, ...given }
  options.oneOf("metrics.text()'s openmetrics", openmetrics, [true, false])
  if (!runtime.start()) throw new Error(`plimsoll: no metrics: ${reason}`)
  return (await rendered({ ...settings, openmetrics })).toString()
}

/** Scrapes with the same options share a rendering while it runs and for a second after it. */
function rendered(settings) {
  const key = JSON.stringify(settings)
  const known = renderings.get(key)
  if (known !== undefined) return known
  // `newest` and the timer outlive the scrape, and would retain its async context.
  return outside(() => render(key, settings))
}

function render(key, settings) {
  const promise = newest.then(() => native.metrics(settings))
  const forget = () => renderings.delete(key)
  newest = promise.then(() => void setTimeout(forget, REUSE_MS).unref(), forget)
  renderings.set(key, promise)
  return promise
}

function settingsOf(where, given, known) {
  const { only, scope, histograms = 'latency', buckets } = options.object(where, given, known)
  if (only !== undefined) options.oneOf(`${where}'s only`, only, ['plimsoll'])
  if (scope !== undefined) options.oneOf(`${where}'s scope`, scope, ['all', 'process'])
  options.oneOf(`${where}'s histograms`, histograms, ['none', 'latency', 'all'])
  return {
    onlyPlimsoll: only === 'plimsoll',
    all: scope !== 'process',
    histograms,
    ...(buckets !== undefined && { buckets: bucketsOf(`${where}'s buckets`, buckets, histograms) })
  }
}

function bucketsOf(where, given, histograms) {
  if (histograms === 'none') options.fail(where, given, "nothing with histograms: 'none'")
  const isRight = Array.isArray(given) && given.length > 0 && given.every(bound => BOUNDS.includes(bound))
  if (!isRight || new Set(given).size < given.length) options.fail(where, given, BUCKETS_TAKE)
  return [...given].sort((a, b) => a - b)
}

function unavailable(res) {
  res.statusCode = 503
  res.setHeader('content-type', 'text/plain; charset=utf-8')
  res.end(`plimsoll: no metrics: ${reason}\n`)
}

/** Whether `Accept` ranks OpenMetrics above plain text. */
function prefersOpenMetrics(accept = '') {
  const ranks = { openmetrics: 0, text: 0 }
  for (const part of accept.split(',')) {
    const [type, ...parameters] = part.split(';').map(word => word.trim().toLowerCase())
    const q = Number(parameters.find(parameter => parameter.startsWith('q='))?.slice(2) ?? 1)
    if (type === OPENMETRICS) ranks.openmetrics = Math.max(ranks.openmetrics, q)
    if (type === 'text/plain' || type === 'text/*' || type === '*/*') ranks.text = Math.max(ranks.text, q)
  }
  return ranks.openmetrics > 0 && ranks.openmetrics >= ranks.text
}

module.exports = metrics
