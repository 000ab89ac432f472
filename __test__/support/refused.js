'use strict'

const { once } = require('node:events')
const http = require('node:http')
const https = require('node:https')
const net = require('node:net')
const { execFile, execFileSync } = require('node:child_process')
const { Readable, pipeline } = require('node:stream')
const { text } = require('node:stream/consumers')

const MEBIBYTE = 2 ** 20

const BOUNDARY = 'plimsoll-boundary'
const TYPE = `multipart/form-data; boundary=${BOUNDARY}`
const HEAD = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n`

/** A form with a file of `mebibytes`, in pieces of 64 KiB. It is cut before its end. */
function* body(mebibytes) {
  yield Buffer.from(HEAD)
  const piece = Buffer.alloc(65_536, 'x')
  for (let i = 0; i < mebibytes * 16; i++) yield piece
}

/**
 * Uploads with Node's client. Returns `{ status, firstByteMs }`: the time from the first byte over the limit that was
 * passed to the socket.
 */
async function withHttp({ port, socketPath, path = '/', mebibytes, declared, tls, headers = {}, limit = MEBIBYTE }) {
  const agent = new (tls ? https : http).Agent({ keepAlive: true, rejectUnauthorized: false })
  try {
    const length = declared ? { 'content-length': HEAD.length + mebibytes * MEBIBYTE } : {}
    const options = {
      host: '127.0.0.1',
      port,
      socketPath,
      path,
      method: 'POST',
      agent,
      headers: { 'content-type': TYPE, ...length, ...headers }
    }
    const req = (tls ? https : http).request(options)
    let sent = 0
    let over = declared ? performance.now() : null
    const counted = (function* () {
      for (const piece of body(mebibytes)) {
        sent += piece.length
        if (over === null && sent > limit) over = performance.now()
        yield piece
      }
    })()
    const responded = once(req, 'response')
    pipeline(Readable.from(counted, { objectMode: false }), req, () => {})
    const [res] = await responded
    const firstByteMs = performance.now() - over
    return { status: res.statusCode, body: await text(res), firstByteMs }
  } finally {
    agent.destroy()
  }
}

/** Uploads with fetch. */
async function withFetch({ port, path = '/', mebibytes, declared }) {
  const content = declared ? Buffer.concat([...body(mebibytes)]) : Readable.toWeb(Readable.from(body(mebibytes)))
  const res = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': TYPE },
    body: content,
    duplex: 'half'
  })
  return { status: res.status, body: await res.text() }
}

/** Uploads a file with curl; `{ status, uploaded }`. */
function withCurl({ url, file, headers = {} }) {
  const args = ['-sS', '-k', '-o', '/dev/null', '-w', '%{http_code} %{size_upload}', '-X', 'POST', '--max-time', '60']
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`)
  args.push('--data-binary', `@${file}`, url)
  return new Promise((resolve, reject) => {
    execFile('curl', args, (error, stdout, stderr) => {
      if (error) return reject(new Error(`curl: ${error.code} ${stderr}${stdout}`))
      const [status, uploaded] = stdout.split(' ').map(Number)
      resolve({ status, uploaded })
    })
  })
}

/** A proxy to `port` that passes on at most `bytesPerSecond` in each direction: `{ port, close() }`. */
async function throttled(port, bytesPerSecond) {
  const EVERY_MS = 10
  const sockets = new Set()
  const server = net.createServer({ allowHalfOpen: true }, near => {
    const far = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    for (const [from, to] of [
      [near, far],
      [far, near]
    ]) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        if (from.errored) to.destroy()
      })
      // A paused socket still reports its end.
      let passing = false
      let ended = false
      from.on('data', piece => {
        from.pause()
        passing = true
        const pass = () => {
          passing = false
          if (to.destroyed) return
          to.write(piece)
          if (ended) to.end()
          from.resume()
        }
        setTimeout(pass, Math.max(EVERY_MS, (piece.length / bytesPerSecond) * 1000))
      })
      from.on('end', () => {
        ended = true
        if (!passing) to.end()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: server.address().port,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    }
  }
}

/** Runs `task(index)` `count` times, at most `width` at once, and returns the results. */
async function many(count, width, task) {
  const results = []
  let next = 0
  const worker = async () => {
    while (next < count) {
      const index = next++
      results[index] = await task(index)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return results
}

/** A test's options: skipped, with the reason, if a program is not installed. In CI all are. */
function needs(...programs) {
  const missing = programs.filter(program => {
    try {
      execFileSync('which', [program], { stdio: 'ignore' })
      return false
    } catch {
      return true
    }
  })
  return { skip: missing.length > 0 && !process.env.CI && `${missing.join(', ')} not installed` }
}

const percentile = (values, share) => values.toSorted((a, b) => a - b)[Math.floor((values.length - 1) * share)]

module.exports = { needs, MEBIBYTE, body, withHttp, withFetch, withCurl, throttled, many, percentile }
