'use strict'

// An app that Node or the system restricts. Prints the result of one request, and what plimsoll reports. With GONE its
// working directory is deleted first.

const fs = require('node:fs')
const http = require('node:http')
const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))

const express = require('express')
const app = express()
if (process.env.GONE) {
  process.chdir(process.env.GONE)
  fs.rmdirSync(process.env.GONE)
}
const plimsoll = require('../..')

app.use(plimsoll({ watch: true, largeResponses: { over: '1kb' } }))
app.use(plimsoll.scope())
app.use(plimsoll.limit('1kb'))
app.get('/users/:id', (req, res) => {
  req.scope.use({ close() {} })
  req.scope.defer(() => {
    throw new Error('to be found')
  })
  res.send('x'.repeat(2000))
})
app.post('/body', express.text(), (req, res) => res.json(req.body.length))
app.use((error, _req, res, _next) => res.status(error.status ?? 500).send(String(error.message)))

const server = http.createServer(app).listen(0, '127.0.0.1', async () => {
  const base = `http://127.0.0.1:${server.address().port}`
  const answers = [
    await fetch(`${base}/users/1`),
    await fetch(`${base}/body`, { method: 'POST', body: 'x'.repeat(2000) })
  ]
  for (const answer of answers) await answer.text()
  const { requests, heap, findings, faults: internalErrors, recorder } = plimsoll.stats()
  const snapshot = await plimsoll.snapshot().catch(error => error.message)
  const report = {
    statuses: answers.map(({ status }) => status),
    requests,
    heap,
    findings,
    internalErrors,
    recorder,
    snapshot,
    warnings
  }
  process.stdout.write(JSON.stringify(report), () => process.exit())
})
