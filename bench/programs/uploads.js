'use strict'

// `count` uploads of `size` bytes, all at once, each as fast as it is taken; then it is over. One that is answered stops sending.
// In: one JSON argument { port, count, size, kind }. Out: one JSON line { seconds, statuses }: how many read which status, and how many none.

const { randomBytes } = require('node:crypto')
const http = require('node:http')
const { text } = require('node:stream/consumers')
const zlib = require('node:zlib')

const { port, count, size, kind } = JSON.parse(process.argv[2])
// What is to be inflated does not compress to nothing: its repetitions are farther apart than gzip's window.
const PIECE =
  kind === 'gzip' ? Buffer.from(randomBytes(48 << 10).toString('base64')) : Buffer.alloc(64 << 10, 'plimsoll ')
const [TYPE, HEAD, TAIL] = {
  bytes: ['application/octet-stream', '', ''],
  json: ['application/json', '{"text":"', '"}'],
  multipart: [
    'multipart/form-data; boundary=b',
    '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
    '\r\n--b--\r\n'
  ]
}[kind === 'gzip' ? 'bytes' : kind]

/** One body for all: to compress is not what is measured. */
const gzipped = kind === 'gzip' ? zlib.gzipSync(Buffer.concat([...plain()])) : null
const LENGTH = gzipped ? gzipped.length : HEAD.length + size + TAIL.length

function* pieces() {
  if (!gzipped) return yield* plain()
  for (let at = 0; at < gzipped.length; at += PIECE.length) yield gzipped.subarray(at, at + PIECE.length)
}

function* plain() {
  if (HEAD) yield Buffer.from(HEAD)
  for (let left = size; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left)
  if (TAIL) yield Buffer.from(TAIL)
}

function upload() {
  return new Promise(resolve => {
    const headers = { 'content-type': TYPE, 'content-length': LENGTH, 'x-together': count }
    if (gzipped) headers['content-encoding'] = 'gzip'
    const req = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent: false })
    let answered = false
    const none = () => answered || resolve('none')
    req.on('response', res => {
      answered = true
      text(res).then(
        () => {
          resolve(String(res.statusCode))
          if (!req.writableFinished) req.destroy()
        },
        () => resolve('none')
      )
    })
    req.on('error', none)
    req.on('close', none)
    const body = pieces()
    const resume = () => {
      // Not `for of`, which ends a generator that it leaves.
      for (let next = body.next(); !next.done; next = body.next()) {
        if (answered || req.destroyed) return
        if (!req.write(next.value)) return req.once('drain', resume)
      }
      req.end()
    }
    resume()
  })
}

async function main() {
  const began = performance.now()
  const answers = await Promise.all(Array.from({ length: count }, upload))
  const statuses = {}
  for (const status of answers) statuses[status] = (statuses[status] ?? 0) + 1
  process.stdout.write(`${JSON.stringify({ seconds: (performance.now() - began) / 1000, statuses })}\n`)
}

main().catch(error => process.stdout.write(`${JSON.stringify({ error: error.stack })}\n`))
