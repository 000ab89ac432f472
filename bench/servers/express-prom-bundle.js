'use strict'

const { userApp } = require('./bare')

// The example of its README: labels for method, path and status, its path normalisation, and prom-client's default metrics.
function create() {
  const promBundle = require('express-prom-bundle')
  const metrics = promBundle({
    includeMethod: true,
    includePath: true,
    includeStatusCode: true,
    includeUp: true,
    promClient: { collectDefaultMetrics: {} }
  })
  return {
    app: userApp(app => app.use(metrics)),
    async state() {
      const { values } = await metrics.promClient.register.getSingleMetric('http_request_duration_seconds').get()
      const counts = values.filter(value => value.metricName.endsWith('_count'))
      return { count: counts.reduce((sum, { value }) => sum + value, 0) }
    }
  }
}

module.exports = { packages: ['express', 'express-prom-bundle', 'prom-client'], create }

if (require.main === module) require('../harness/serve')(module.exports, __filename)
