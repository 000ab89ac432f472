'use strict'

exports.mechanism = 'long-lived server-sent events'
exports.about = `
  Forty clients listen for as long as the run lasts. Their requests and responses are old, they are held by a \`Set\`, each has an interval, and each goes with its
  connection: none of them is left behind, they are not over.`
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
