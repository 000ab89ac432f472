'use strict'

const { userApp } = require('../bare')

// Its README passes the specification of the API. Without one it stores a row for each raw URL.
const swaggerSpec = {
  swagger: '2.0',
  info: { title: 'bench', version: '1.0.0' },
  basePath: '/',
  paths: {
    '/users/{id}': {
      get: {
        parameters: [{ name: 'id', in: 'path', required: true, type: 'string' }],
        responses: { 200: { description: 'ok' } }
      }
    }
  }
}

function create() {
  const swStats = require('swagger-stats')
  return {
    app: userApp(app => app.use(swStats.getMiddleware({ swaggerSpec }))),
    state: () => ({ count: swStats.getCoreStats().all.responses })
  }
}

module.exports = { packages: ['express', 'swagger-stats', 'prom-client'], create }

if (require.main === module) require('../../harness/serve')(module.exports, __filename)
