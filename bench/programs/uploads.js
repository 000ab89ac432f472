'use strict'

// Sends `count` uploads of `size` bytes at once, each as fast as the server reads it. An upload stops at its response.
// Argument: JSON { port, count, size, kind }. Output: a JSON line { seconds, statuses }, with the number of uploads for
// each status, and for `none` if they could not read a response.

const { randomBytes } = require('node:crypto')
const http = require('node:http')
const { text } = require('node:stream/consumers')
const zlib = require('node:zlib')

const { port, count, size, kind } = JSON.parse(process.argv[2])
// The gzip body does not compress to almost nothing, since its repetitions are farther apart than the window of gzip.
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

/** Compressed once for all uploads, since compression is not measured. */
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
      // `for…of` would end the generator at `return`.
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
