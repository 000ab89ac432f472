'use strict'

const express = require('express')

const STAY = 2
let open = 0

const app = express()
app.get('/events', (_req, res) => {
  open += 1
  res.on('close', () => {
    open -= 1
  })
  res.write('data: here\n\n')
})
app.get('/short', (_req, res) => {
  res.write('data: here\n\n')
  setTimeout(() => res.end(), 50)
})
app.get('/open', (_req, res) => setTimeout(() => res.status(open === STAY ? 200 : 500).send(`${open} are open`), 2))
app.listen(process.env.PORT)
