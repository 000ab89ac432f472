'use strict'

// Without native code nothing is inflated: the limit applies to the received bytes, and the code that inflates them has
// a limit of its own.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const path = require('node:path')
const test = require('node:test')
const { promisify } = require('node:util')

const program = `
process.env.NODE_ENV = 'test'
const zlib = require('node:zlib')
const express = require('express')
const { serve } = require('./__test__/support/http.js')
const { errorPage, upload } = require('./__test__/support/uploads.js')
const warnings = []
process.on('warning', ({ code, message }) => warnings.push({ code, message }))
const plimsoll = require('.')
const app = express()
plimsoll.limit({ limit: 1000, inflate: true })
app.use(plimsoll.limit({ limit: 1000, inflate: { ratio: 10 } }))
app.post('/parsed', express.raw({ type: () => true, limit: 100000 }), (req, res) => res.json({ length: req.body.length }))
app.post('/bare', (req, res) => {
  let length = 0
  req.on('data', piece => { length += piece.length })
  req.on('end', () => res.json({ length, encoding: req.headers['content-encoding'] }))
})
app.use(errorPage([]))
async function main() {
  const { port, close } = await serve(app)
  const answers = []
  const noise = Buffer.from(Array.from({ length: 1500 }, (_, i) => (i * i * 31) % 251))
  for (const path of ['/parsed', '/bare']) {
    for (const [body, declared] of [[Buffer.alloc(100000), false], [Buffer.alloc(100001), true], [noise, true], [noise, false]]) {
      const sent = zlib.gzipSync(body, { level: body === noise ? 0 : 9 })
      const headers = { 'content-encoding': 'gzip', ...(declared ? { 'content-length': sent.length } : {}) }
      const { status, json } = await upload(port, path, { headers, pieces: [sent.subarray(0, 20), sent.subarray(20)] })
      answers.push([status, json?.limit ?? json?.encoding ?? json?.length ?? null])
    }
  }
  await close()
  console.log(JSON.stringify({ answers, warnings }))
}
main()
`

test('compressed bodies are passed on as they come, under the limit, and one warning says so', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], {
    cwd: path.join(__dirname, '..', '..'),
    env: { ...process.env, NODE_TEST_CONTEXT: '', PLIMSOLL: 'off' },
    timeout: 60_000
  })
  const { answers, warnings } = JSON.parse(stdout)
  assert.deepEqual(answers, [
    [200, 100_000],
    [413, 100_000],
    [413, 1000],
    // body-parser reads from its own gunzip, and does not receive the error.
    [413, null],
    [200, 'gzip'],
    [200, 'gzip'],
    [413, 1000],
    [413, null]
  ])
  assert.deepEqual(
    warnings.map(({ code }) => code),
    ['PLIMSOLL_NO_INFLATE']
  )
  assert.match(warnings[0].message, /passed on with their Content-Encoding/)
})
