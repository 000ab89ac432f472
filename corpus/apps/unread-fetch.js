'use strict'

const { Lru } = require('../lib/lru.js')
const { upstream } = require('../lib/upstream.js')

exports.mechanism = 'the unread body of a `fetch`'
exports.about = `
  The app needs only the ETag, so it stores the response for its headers and never reads the body. Each stored
  response occupies a connection, with the received data in its buffers. A response that is not stored does not leak:
  undici cancels it when it is collected, at least from Node 20 on. The healthy twin sends HEAD and stores some ETags.`
exports.reference = 'https://github.com/vercel/next.js/issues/43493'
exports.route = 'GET /documents/:id'
exports.expected = { leak: true, class: 'Socket', holder: 'Agent' }
exports.load = { requests: 600 }

exports.leaky = async app => {
  const url = `http://127.0.0.1:${await upstream('page')}`
  const answers = new Map()
  // handler
  app.get('/documents/:id', async (req, res) => {
    const answer = await fetch(`${url}/${req.params.id}`)
    answers.set(req.params.id, answer) // leak
    res.json({ etag: answer.headers.get('etag') })
  })
}

exports.healthy = async app => {
  const url = `http://127.0.0.1:${await upstream('page')}`
  const etags = new Lru(100)
  app.get('/documents/:id', async (req, res) => {
    const answer = await fetch(`${url}/${req.params.id}`, { method: 'HEAD' })
    etags.set(req.params.id, answer.headers.get('etag'))
    res.json({ etag: answer.headers.get('etag') })
  })
}
