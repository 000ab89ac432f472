'use strict'

const { native, reason } = require('./native.js')
const options = require('./options.js')
const runtime = require('./runtime.js')

const OPENMETRICS = 'application/openmetrics-text'
const CONTENT_TYPES = {
  openmetrics: `${OPENMETRICS}; version=1.0.0; charset=utf-8`,
  text: 'text/plain; version=0.0.4; charset=utf-8'
}

/** Handler that answers with Prometheus text or, where the scraper prefers it, OpenMetrics. */
function metrics(given) {
  const settings = settingsOf('metrics()', given, ['only', 'scope'])
  runtime.start()

  return function plimsollMetrics(req, res, next) {
    if (native === null) return unavailable(res)
    const openmetrics = prefersOpenMetrics(req.headers.accept)
    native.metrics({ ...settings, openmetrics }).then(body => {
      res.statusCode = 200
      res.setHeader('content-type', openmetrics ? CONTENT_TYPES.openmetrics : CONTENT_TYPES.text)
      res.setHeader('vary', 'accept')
      res.setHeader('content-length', body.length)
      res.end(req.method === 'HEAD' ? undefined : body)
    }, next)
  }
}

/** The same as text, for a registry of one's own. Rejects without a binary. */
metrics.text = async function text(given) {
  const settings = settingsOf('metrics.text()', given, ['only', 'scope', 'openmetrics'])
  const { openmetrics = false } = given ?? {}
  options.oneOf("metrics.text()'s openmetrics", openmetrics, [true, false])
  if (!runtime.start()) throw new Error(`plimsoll: no metrics: ${reason}`)
  return (await native.metrics({ ...settings, openmetrics })).toString()
}

function settingsOf(where, given, known) {
  const { only, scope } = options.object(where, given, known)
  if (only !== undefined) options.oneOf(`${where}'s only`, only, ['plimsoll'])
  if (scope !== undefined) options.oneOf(`${where}'s scope`, scope, ['all', 'process'])
  return { onlyPlimsoll: only === 'plimsoll', all: scope !== 'process' }
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
