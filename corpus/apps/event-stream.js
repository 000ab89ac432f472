'use strict'

exports.mechanism = 'long-lived server-sent events'
exports.about = `
  Forty clients listen during the whole run. A \`Set\` holds their old requests and responses, and each
  has an interval. All of it is released when the connection closes: the requests have not ended yet.`
exports.route = 'POST /messages'
exports.load = { hold: { path: '/events', count: 40 }, requests: 2000 }

exports.healthy = app => {
  const clients = new Set()
  app.get('/events', (_req, res) => {
    res.set('Content-Type', 'text/event-stream').write('data: hello\n\n')
    const beat = setInterval(() => res.write(': beat\n\n'), 500)
    clients.add(res)
    res.on('close', () => {
      clearInterval(beat)
      clients.delete(res)
    })
  })
  app.post('/messages', (_req, res) => {
    for (const client of clients) client.write('data: message\n\n')
    res.status(202).end()
  })
}
