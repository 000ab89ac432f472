'use strict'

// `count` uploads of `size` bytes, all at once, each as fast as it is taken; then it is over.
// In: one JSON argument { port, count, size, multipart }. Out: one JSON line.

const http = require('node:http')
const { text } = require('node:stream/consumers')

const { port, count, size, multipart } = JSON.parse(process.argv[2])
const PIECE = Buffer.alloc(64 << 10, 'plimsoll ')
const HEAD = '--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
const TAIL = '\r\n--b--\r\n'

function* pieces() {
  if (multipart) yield Buffer.from(HEAD)
  for (let left = size; left > 0; left -= PIECE.length) yield PIECE.subarray(0, left)
  if (multipart) yield Buffer.from(TAIL)
}

function upload() {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': multipart ? 'multipart/form-data; boundary=b' : 'application/octet-stream',
      'content-length': size + (multipart ? HEAD.length + TAIL.length : 0)
    }
    const req = http.request({ host: '127.0.0.1', port, method: 'POST', path: '/', headers, agent: false })
    req.on('response', res => text(res).then(body => resolve({ status: res.statusCode, body }), reject))
    req.on('error', reject)
    const body = pieces()
    const resume = () => {
      // Not `for of`, which ends a generator that it leaves.
      for (let next = body.next(); !next.done; next = body.next()) {
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
  const wrong = answers.find(({ status, body }) => status !== 200 || JSON.parse(body).size !== size)
  const seconds = (performance.now() - began) / 1000
  process.stdout.write(`${JSON.stringify(wrong ? { error: `answered ${wrong.status} ${wrong.body}` } : { seconds })}\n`)
}

main().catch(error => process.stdout.write(`${JSON.stringify({ error: error.stack })}\n`))
