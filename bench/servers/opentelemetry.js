'use strict'

// As in the guide of OpenTelemetry: NodeSDK starts before all other code. It has a Prometheus reader, as the peers have.
// It has metrics only, and records and exports no spans, which costs least. Later versions than these need Node 22.15.
function create() {
  const { NodeSDK } = require('@opentelemetry/sdk-node')
  const { PrometheusExporter } = require('@opentelemetry/exporter-prometheus')
  const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http')
  const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express')

  const reader = new PrometheusExporter({ preventServerStart: true })
  new NodeSDK({
    serviceName: 'bench',
    metricReaders: [reader],
    spanProcessors: [],
    logRecordProcessors: [],
    instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()]
  }).start()

  const { userApp } = require('./bare')
  return {
    app: userApp(),
    async state() {
      const { resourceMetrics } = await reader.collect()
      const durations = resourceMetrics.scopeMetrics
        .flatMap(scope => scope.metrics)
        .find(metric => metric.descriptor.name.startsWith('http.server.'))
      const points = durations ? durations.dataPoints : []
      return {
        count: points.reduce((sum, { value }) => sum + value.count, 0),
        routes: points.map(({ attributes }) => attributes['http.route'])
      }
    }
  }
}

module.exports = {
  packages: [
    'express',
    '@opentelemetry/sdk-node',
    '@opentelemetry/instrumentation-http',
    '@opentelemetry/instrumentation-express'
  ],
  create
}

if (require.main === module) require('../harness/serve')(module.exports, __filename)
