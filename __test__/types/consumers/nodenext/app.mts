import express from 'express'
import plimsoll from 'plimsoll'
import * as namespace from 'plimsoll'
import { limit, type Stats } from 'plimsoll'
import 'plimsoll/express'

const app = express()
app.use(plimsoll({ name: 'typescript' }))
app.use(namespace.limit('10kb'))
app.post('/', limit({ limit: 4 }), (_req, res) => res.end())
app.get('/metrics', plimsoll.metrics())
app.get('/scoped', plimsoll.scope(), (req, res) => {
  const text: string | undefined = req.scope.set('text', 'scoped').get<string>('text')
  res.end(text)
})

const server = app.listen(0, async () => {
  const { port } = server.address() as import('node:net').AddressInfo
  const refused = await fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: 'four?' })
  const scoped = await fetch(`http://127.0.0.1:${port}/scoped`)
  const stats: Stats = plimsoll.stats()
  console.log(refused.status, namespace.limit === limit, stats.requests.limited, await scoped.text())
  server.close()
  server.closeAllConnections()
})
