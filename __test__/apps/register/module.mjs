/* An ES module with a top-level await. It knows nothing of Plimsoll, and prints its port. */

import { setTimeout as pause } from 'node:timers/promises'
import express from 'express'

await pause(1)
const app = express()
app.get('/users/:id', (req, res) => res.json(req.params))
const server = app.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`))
