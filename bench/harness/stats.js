'use strict'

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const below = sorted[Math.floor(at)]
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at))
}

const median = values => quantile(values, 0.5)

const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length

function summary(values) {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

module.exports = { mean, median, quantile, summary }
