'use strict'

const { Lru } = require('../lib/lru.js')
const { upstream } = require('../lib/upstream.js')

exports.mechanism = 'the unread body of a `fetch`'
exports.about = `
  Only the ETag is wanted, so the answer is kept for its headers and nobody reads its body. Behind 300 bytes of object there is a connection that can serve nothing else,
  and what came already waits in its buffers. An unread answer that is dropped holds its connection only until it is collected (undici cancels it then, from Node 20 on at least):
  it is the one that is kept that stays. The healthy twin asks for the head, and keeps the ETags of some.`
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
