import express from 'express'
import * as namespace from 'plimsoll'
import plimsoll, { limit, type Stats } from 'plimsoll'

const app = express()
app.use(plimsoll({ name: 'typescript' }))
app.use(namespace.limit('10kb'))
app.post('/', limit({ limit: 4 }), (_req, res) => res.end())
app.get('/metrics', plimsoll.metrics())

const server = app.listen(0, async () => {
  const { port } = server.address() as import('node:net').AddressInfo
  const refused = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'four?' })
  const stats: Stats = plimsoll.stats()
  console.log(refused.status, namespace.limit === limit, stats.requests.limited)
  server.close()
  server.closeAllConnections()
})
