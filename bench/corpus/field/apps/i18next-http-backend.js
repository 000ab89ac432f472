'use strict'

/* Each request creates an instance, whose backend starts an hourly timer. */

const i18next = require('i18next')
const Backend = require('i18next-http-backend')

exports.report = 'i18next/i18next-http-backend#150'
exports.packages = { i18next: '23.16.4', 'i18next-http-backend': '2.6.1' }
exports.expected = { routes: ['GET /hello'], holder: null, addedBy: null }
exports.paths = [
  ['GET', '/hello'],
  ['GET', '/products/:n'],
  ['GET', '/health']
]
exports.rate = 100

const options = { lng: 'en', fallbackLng: 'en', backend: { loadPath: 'http://127.0.0.1:9/{{lng}}/{{ns}}.json' } }
const instance = () => {
  const made = i18next.createInstance()
  made
    .use(Backend.default ?? Backend)
    .init({ ...options, resources: { en: { translation: { hello: 'Hello' } } }, partialBundledLanguages: true })
  return made
}

function routes(app, translator) {
  app.get('/hello', (_req, res) => res.send(translator().t('hello')))
  app.get('/products/:id', (req, res) => res.json({ id: req.params.id }))
  app.get('/health', (_req, res) => res.send('ok'))
}

exports.leaky = app => routes(app, instance)

exports.healthy = app => {
  const shared = instance()
  routes(app, () => shared)
}
