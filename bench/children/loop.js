'use strict'

// Apps answering requests in this very process: the whole of Node's HTTP server, its parser and response life cycle
// included, over streams that are no sockets. What is left out is the kernel, and with it most of the noise.
// In: one JSON argument { apps: [file, …], blocks, perBlock, warmup }. Out: one JSON line with the CPU microseconds a
// request of every block of every app. With two apps the blocks go AB BA AB …, so that a drift hits both alike.

const { once } = require('node:events')
const http = require('node:http')
const { Duplex } = require('node:stream')

const { apps, blocks, perBlock, warmup } = JSON.parse(process.argv[2])

const WIRES = 50

// The client's end and the server's in one: what is pushed is the request, what is written the response.
class Wire extends Duplex {
  constructor () {
    super()
    this.bytesWritten = 0
    this.bytesRead = 0
    this.remoteAddress = '127.0.0.1'
    this.remoteFamily = 'IPv4'
    this.encrypted = false
    this.answers = 0
  }

  _read () {}

  _write (chunk, _encoding, done) {
    this.bytesWritten += chunk.length
    // res.json() writes head and body at once, so one write that begins so is one answer.
    if (chunk.length > 12 && chunk.latin1Slice(9, 12) === '200') this.answers++
    done()
  }

  setTimeout () {
    return this
  }

  setNoDelay () {
    return this
  }

  setKeepAlive () {
    return this
  }
}

const REQUESTS = Array.from({ length: 256 }, (_, id) =>
  Buffer.from(`GET /users/${id} HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n`)
)

const turn = () => new Promise(resolve => setImmediate(resolve))

class Loop {
  static async open (file) {
    const subject = require(file)
    const loop = new Loop()
    const { app, state } = await subject.create()
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

  async requests (count) {
    const { wires } = this
    for (let done = 0; done < count; done += WIRES) {
      for (let at = 0; at < WIRES; at++) wires[at].push(REQUESTS[(done + at) & 255])
      await turn()
    }
    this.sent += count
  }

  // Every response must have been written, and every one must have ended as it does on a socket.
  async check () {
    const answers = this.wires.reduce((sum, wire) => sum + wire.answers, 0)
    if (answers !== this.sent) throw new Error(`${this.sent} requests, ${answers} answers`)
    let closed = 0
    const count = (_req, res) => res.on('close', () => closed++)
    this.server.prependListener('request', count)
    await this.requests(WIRES * 2)
    await turn()
    this.server.removeListener('request', count)
    if (closed !== WIRES * 2) throw new Error(`${closed} of ${WIRES * 2} responses emitted 'close'`)
    const state = await this.state()
    if (state.count !== null && state.count !== this.expected()) {
      throw new Error(`counted ${state.count} requests of ${this.expected()}`)
    }
    if (state.inFlight) throw new Error(`${state.inFlight} requests still in flight`)
    return state
  }

  expected () {
    return this.sent
  }
}

async function block (loop) {
  const before = process.cpuUsage()
  await loop.requests(perBlock)
  const { user, system } = process.cpuUsage(before)
  return (user + system) / perBlock
}

async function main () {
  const loops = []
  for (const file of apps) loops.push(await Loop.open(file))
  for (let done = 0; done < warmup; done += perBlock) {
    for (const loop of loops) await loop.requests(perBlock)
  }
  const micros = loops.map(() => [])
  for (let at = 0; at < blocks; at++) {
    const order = loops.map((_, index) => index)
    if (at % 2) order.reverse()
    for (const index of order) micros[index].push(await block(loops[index]))
  }
  const notes = []
  for (const loop of loops) {
    const { note } = await loop.check()
    if (note) notes.push(note)
  }
  process.stdout.write(`${JSON.stringify({ micros, notes })}\n`)
  if (process.stdin.readable) await once(process.stdin.resume(), 'close')
  process.exit(0)
}

main().catch(error => {
  process.stderr.write(`${error.stack}\n`)
  process.exit(1)
})
