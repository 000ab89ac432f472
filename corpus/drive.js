'use strict'

/* Sends an app its load, from outside its process. A seed determines the order of the requests and the pauses. */

const http = require('node:http')
const { setTimeout: pause } = require('node:timers/promises')
const { generator, shuffled } = require('./lib/random.js')

const HOST = '127.0.0.1'
/** Requests to `/ping`, which does not leak, for each request to the app's own route. */
const PINGS = 0.2
const PAUSES = 0.01
const PAUSE_MS = 8
/** Longer than any response takes on a machine under load. */
const TIMEOUT_MS = 30_000

class Load {
  /** `load`: as an app declares it. README.md describes the fields. */
  constructor(load, port, seed = 1) {
    this.load = load
    this.port = port
    this.random = generator(seed)
    /** Requests sent to the app's own route. */
    this.sent = 0
    this.statuses = {}
    this.agent = new http.Agent({ keepAlive: true })
    this.held = []
    this.idle = new http.Agent({ keepAlive: true })
    this.begun = null
  }

  /** Sends `requests` requests to the app's own route, and some pings. An unexpected response is an error. */
  async send(requests) {
    this.begun ??= this.begin()
    await this.begun
    const ids = shuffled(
      Array.from({ length: requests }, (_, i) => this.sent + i),
      this.random
    )
    this.sent += requests
    const client = async () => {
      while (ids.length > 0) {
        const id = ids.pop()
        if (this.random() < PAUSES) await pause(this.random() * PAUSE_MS)
        if (this.random() < PINGS) await this.ask({ path: '/ping' })
        const status = await (this.load.abort ? this.cut(this.request(id)) : this.ask(this.request(id)))
        this.statuses[status] = (this.statuses[status] ?? 0) + 1
      }
    }
    await Promise.all(Array.from({ length: this.connections() }, client))
  }

  /** Opens what stays open during the whole load: idle connections, and responses that do not end. */
  async begin() {
    const { idle = 0, hold } = this.load
    await Promise.all(Array.from({ length: idle }, () => this.ask({ path: '/ping', agent: this.idle })))
    for (let i = 0; i < (hold?.count ?? 0); i++) {
      const { req, res } = await this.open({ path: hold.path, agent: false })
      res.on('error', () => {})
      res.resume()
      this.held.push(req)
    }
  }

  /** Sends pings only. After them, Node, Express and V8 have created what they create once, but the app has not. */
  async warm(pings = 3000) {
    let left = pings
    const client = async () => {
      while (left-- > 0) await this.ask({ path: '/ping' })
    }
    await Promise.all(Array.from({ length: 4 }, client))
  }

  /** With `ramp`, their number grows until the middle of the run. */
  connections() {
    const { connections, ramp, requests } = this.load
    return ramp ? Math.ceil(2 + (connections - 2) * Math.min(1, (2 * this.sent) / requests)) : connections
  }

  request(id) {
    const [method, pattern] = this.load.route.split(' ')
    const path = this.load.path?.(id) ?? pattern.replace(/:\w+/g, id)
    return { method, path, body: this.load.body?.(id) }
  }

  open({ body, ...options }) {
    return new Promise((resolve, reject) => {
      const req = http.request({ host: HOST, port: this.port, agent: this.agent, ...options })
      req.setTimeout(TIMEOUT_MS, () => req.destroy(new Error('no answer')))
      req.on('error', error => reject(new Error(`${options.method ?? 'GET'} ${options.path}: ${error.message}`)))
      req.on('response', res => {
        req.setTimeout(0)
        resolve({ req, res })
      })
      req.end(body)
    })
  }

  async ask(options) {
    const { res } = await this.open(options)
    let text = ''
    for await (const chunk of res.setEncoding('utf8')) text = (text + chunk).slice(0, 2000)
    return this.expect(options, res.statusCode, text)
  }

  /** Disconnects after the response has begun. */
  async cut(options) {
    const { req, res } = await this.open({ ...options, agent: false })
    res.on('error', () => {})
    await new Promise(resolve => res.once('data', resolve).once('close', resolve))
    req.destroy()
    return this.expect(options, res.statusCode, '')
  }

  expect({ method = 'GET', path }, status, text) {
    if ((status >= 200 && status < 300) || this.load.statuses.includes(status)) return status
    throw new Error(`${method} ${path} was answered ${status}: ${text}`)
  }

  close() {
    this.agent.destroy()
    this.idle.destroy()
    for (const req of this.held) req.destroy()
  }
}

module.exports = { Load }
