'use strict'

// An app that gets requests from its own process, through Node's HTTP server and parser. The connections are streams
// instead of sockets, so most of the noise, which comes from the kernel, is absent.
//
// Argument: the file of the app. Each line of stdin gets a JSON line as answer:
//   a number   runs as many batches: { micros }, the CPU microseconds per request of each batch
//   check      checks that all requests were handled: { note }
//   state      the state that the app returns

const http = require('node:http')
const readline = require('node:readline')
const { Duplex } = require('node:stream')

// The number of requests at a time. A batch takes one tick of the event loop.
const WIRES = 50

const REQUESTS = Array.from({ length: 256 }, (_, id) =>
  Buffer.from(`GET /users/${id} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n`)
)

const STATUS_LINE = Buffer.from('HTTP/1.1 200 OK\r\n')

// Both ends of a connection: `push()` sends the request, and the server writes the response.
class Wire extends Duplex {
  constructor() {
    super()
    this.bytesWritten = 0
    this.remoteAddress = '127.0.0.1'
    this.answers = 0
  }

  _read() {}

  _write(chunk, _encoding, done) {
    this.take(chunk)
    done()
  }

  // Sockets have it too. With it, the head and the body of a response are written together.
  _writev(chunks, done) {
    for (const { chunk } of chunks) this.take(chunk)
    done()
  }

  take(chunk) {
    this.bytesWritten += chunk.length
    if (
      chunk.length > STATUS_LINE.length &&
      chunk.compare(STATUS_LINE, 0, STATUS_LINE.length, 0, STATUS_LINE.length) === 0
    ) {
      this.answers++
    }
  }

  setTimeout() {
    return this
  }
}

const tick = () => new Promise(resolve => setImmediate(resolve))

class Loop {
  static async open(file) {
    const loop = new Loop()
    const { app, state } = await require(file).create()
    loop.state = state
    loop.sent = 0
    loop.server = http.createServer(app)
    loop.wires = Array.from({ length: WIRES }, () => {
      const wire = new Wire()
      loop.server.emit('connection', wire)
      return wire
    })
    return loop
  }

  async batch() {
    const { wires, sent } = this
    for (let at = 0; at < WIRES; at++) wires[at].push(REQUESTS[(sent + at) & 255])
    await tick()
    this.sent += WIRES
  }

  // Checks that every response was written, and has ended as on a socket.
  async check() {
    let closed = 0
    const listen = (_req, res) => res.on('close', () => closed++)
    this.server.prependListener('request', listen)
    await this.batch()
    await tick()
    this.server.removeListener('request', listen)
    if (closed !== WIRES) throw new Error(`${closed} of ${WIRES} responses emitted 'close'`)
    const answers = this.wires.reduce((sum, wire) => sum + wire.answers, 0)
    if (answers !== this.sent) throw new Error(`${this.sent} requests, ${answers} responses`)
    const { count, inFlight, untracked, note } = await this.state()
    if (count !== null && count !== this.sent) throw new Error(`counted ${count} requests of ${this.sent}`)
    if (inFlight || untracked) throw new Error(`${inFlight} requests still in flight, ${untracked} untracked`)
    return note
  }
}

async function micros(loop) {
  const before = process.cpuUsage()
  await loop.batch()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / WIRES
}

async function main() {
  const loop = await Loop.open(process.argv[2])
  const say = message => process.stdout.write(`${JSON.stringify(message)}\n`)
  say({ batch: WIRES })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    if (line === 'check') {
      say({ note: await loop.check() })
    } else if (line === 'state') {
      say(await loop.state())
    } else {
      const measured = []
      for (let left = Number(line); left > 0; left--) measured.push(await micros(loop))
      say({ micros: measured })
    }
  }
  process.exit(0)
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
