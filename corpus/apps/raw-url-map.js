'use strict'

exports.mechanism = 'a map keyed by the raw URL'
exports.about = `
  It counts statistics by route under \`req.originalUrl\`. So each search, each id and each scanner's guess is a route, with
  its own histogram. Tests request few URLs, so the map stays small there. The healthy twin counts under the matched pattern.`
exports.reference = 'https://github.com/slanatech/swagger-stats/issues/117'
exports.route = 'GET /search'
exports.expected = { leak: true, class: 'Histogram', holder: 'histograms' }
exports.load = { path: id => `/search?q=term-${id}` }

class Histogram {
  // allocation
  constructor() {
    this.buckets = new Array(32).fill(0)
    this.count = 0
  }

  observe(ms) {
    this.buckets[Math.min(31, Math.ceil(Math.log2(ms + 1)))] += 1
    this.count += 1
  }
}

const histograms = new Map()

const measure = labelOf =>
  // handler
  function measure(req, res, next) {
    const begun = performance.now()
    // caller
    res.on('finish', () => observe(labelOf(req), performance.now() - begun))
    next()
  }

// function
function observe(label, ms) {
  let histogram = histograms.get(label)
  if (histogram === undefined) {
    histogram = new Histogram()
    histograms.set(label, histogram) // leak
  }
  histogram.observe(ms)
}

const search = (req, res) => res.json({ found: req.query.q })

exports.leaky = app => {
  app.use(measure(req => `${req.method} ${req.originalUrl}`))
  app.get('/search', search)
}

exports.healthy = app => {
  app.use(measure(req => `${req.method} ${req.route?.path ?? 'unmatched'}`))
  app.get('/search', search)
}
