'use strict'

/*
 * The load, from this process. Each client has one connection, which stays open, so that memory tied to connections is
 * visible.
 */

const http = require('node:http')
const https = require('node:https')
const { setTimeout: pause } = require('node:timers/promises')
const { property } = require('../core/describe.js')
const { SoakError } = require('./error.js')
const { WEB_SOCKET } = require('./options.js')
const webSocket = require('./web-socket.js')

/** Characters of an unexpected body that the error shows. */
const SHOWN = 300
/** The body of an upload that is aborted, if none is given. */
const UPLOAD = Buffer.alloc(128 * 1024, 'x')
/** Time for the server to take the first half of an upload, before the client disconnects. */
const ABORT_MS = 20

class Load {
  /** `target`: the options of http.request for the server. `token`: marks requests to the child itself. */
  constructor(target, { connections, timeoutMs, token }) {
    this.target = { ...target, rejectUnauthorized: false }
    this.protocol = target.secure ? https : http
    this.timeoutMs = timeoutMs
    this.token = token
    this.agents = Array.from({ length: connections }, () => this.agent())
    this.held = []
    /** By route: number of responses that should have stayed open and did not. */
    this.lost = new Map()
    this.closed = false
    /** By route: the number of the next request. */
    this.next = new Map()
  }

  agent() {
    return new this.protocol.Agent({ keepAlive: true, maxSockets: 1 })
  }

  /** Connections that stay open between blocks. */
  get open() {
    let lost = 0
    for (const count of this.lost.values()) lost += count
    return this.agents.length + this.held.length - lost
  }

  /** Sends `requests` requests of one route. Rejects with the first unexpected response. */
  async send(route, requests) {
    let left = requests
    let failure = null
    const client = async agent => {
      while (left > 0 && failure === null) {
        left -= 1
        const number = this.next.get(route) ?? 0
        this.next.set(route, number + 1)
        try {
          if (route.pauseMs > 0) await pause(Math.random() * route.pauseMs)
          await this.one(route, number, agent)
        } catch (error) {
          failure ??= { error }
        }
      }
    }
    await Promise.all(this.agents.map(client))
    if (failure !== null) throw failure.error
  }

  /** Sends a request of our own on each connection, because a connection refers to its last request. */
  async flush() {
    const path = '/'
    await Promise.all(
      this.agents.map(agent => this.ask({ path, agent, headers: { 'x-plimsoll-soak': this.token } }, 'GET /'))
    )
  }

  /**
   * Opens what stays open as long as the load: responses without an end, and connections that have sent one request.
   */
  async begin(routes) {
    for (const route of routes) {
      for (let i = 0; i < route.hold; i++) await this.hold(route, i)
      for (let i = 0; i < route.idle; i++) {
        const agent = this.agent()
        await this.one(route, i, agent)
        this.held.push(() => agent.destroy())
      }
    }
  }

  async hold(route, number) {
    if (route.method === WEB_SOCKET) return this.holdSocket(route, number)
    const { req, res, stay } = await this.request(this.optionsOf(route, number, false), route.route)
    this.expect(route, res.statusCode, `${route.method} ${req.path}`, '')
    stay()
    res.on('error', () => {})
    res.on('close', () => this.losesOne(route))
    res.resume()
    this.held.push(() => req.destroy())
  }

  losesOne({ route }) {
    if (!this.closed) this.lost.set(route, (this.lost.get(route) ?? 0) + 1)
  }

  async holdSocket(route, number) {
    const { socket, stay } = await this.connect(route, this.optionsOf(route, number, false), route.route)
    stay()
    socket.on('error', () => {}).on('close', () => this.losesOne(route))
    socket.resume()
    this.held.push(() => socket.destroy())
  }

  /** Opens a WebSocket connection, and sends its message if there is one. */
  async connect(route, { body, ...options }, what) {
    const headers = webSocket.handshake(options.headers)
    const { res, socket, stay } = await this.request({ ...options, method: 'GET', headers, agent: false }, what)
    if (socket === undefined) {
      this.expect({ ...route, status: [101] }, res.statusCode, what, '')
    }
    if (body !== undefined) {
      const isData = typeof body === 'string' || Buffer.isBuffer(body)
      webSocket.sendMessage(socket, isData ? body : JSON.stringify(body))
    }
    return { socket, stay }
  }

  /** Opens a WebSocket connection and closes it. */
  async visit(route, options, what) {
    const { socket, stay } = await this.connect(route, options, what)
    // The server may also cut it.
    socket.on('error', () => {})
    const timer = setTimeout(() => socket.destroy(new Error('late')), this.timeoutMs)
    await webSocket.close(socket)
    clearTimeout(timer)
    stay()
    if (socket.errored?.message === 'late')
      throw new SoakError(`${what}: the server did not close the connection within ${this.timeoutMs} ms`)
  }

  /** Sends the first half of a body and disconnects. */
  async abandon({ body = UPLOAD, ...options }, what) {
    const { data, headers } = encoded(body, options.headers)
    const bytes = Buffer.from(data)
    const req = this.protocol.request({
      ...this.target,
      ...options,
      agent: false,
      headers: { ...headers, 'content-length': bytes.length }
    })
    await new Promise((resolve, reject) => {
      const late = () => req.destroy(new SoakError(`${what} was not connected within ${this.timeoutMs} ms`))
      const timer = setTimeout(late, this.timeoutMs)
      // The server may refuse the upload before it ends.
      const refused = () => req.socket?.connecting === false && req.socket.bytesWritten > 0
      req.on('error', error => (error instanceof SoakError || !refused() ? reject(asError(error, what)) : resolve()))
      req.on('response', res => res.on('error', () => {}).resume())
      req.on('close', () => clearTimeout(timer))
      req.write(bytes.subarray(0, Math.ceil(bytes.length / 2)), () => setTimeout(resolve, ABORT_MS))
    })
    req.destroy()
  }

  async one(route, number, agent) {
    const options = this.optionsOf(route, number, agent)
    const what = `${route.method} ${options.path}`
    if (route.method === WEB_SOCKET) return this.visit(route, options, what)
    if (route.abort === 'upload') return this.abandon(options, what)
    if (route.abort) return this.cut(route, options, what)
    let answer
    try {
      answer = await this.ask(options, what)
    } catch (error) {
      // The server may close a connection just when it is used again.
      if (property(error, 'reused') !== true) throw error
      answer = await this.ask(options, what)
    }
    this.expect(route, answer.status, what, answer.text)
  }

  optionsOf({ method, path, body, headers }, number, agent) {
    return {
      method,
      path: path(number),
      headers: typeof headers === 'function' ? headers(number) : headers,
      body: typeof body === 'function' ? body(number) : body,
      agent
    }
  }

  request({ body, ...options }, what) {
    return new Promise((resolve, reject) => {
      const { data, headers } = encoded(body, options.headers)
      const req = this.protocol.request({ ...this.target, ...options, headers })
      let begun = null
      const late = () => {
        const how = begun ? 'answered to its end' : 'answered'
        // A response that has begun would be cut without a reason.
        ;(begun ?? req).destroy(new SoakError(`${what} was not ${how} within ${this.timeoutMs} ms`))
      }
      const timer = setTimeout(late, this.timeoutMs)
      req.on('close', () => clearTimeout(timer))
      req.on('error', error => {
        const failure = asError(error, what)
        failure.reused = error.code === 'ECONNRESET' && req.reusedSocket
        reject(failure)
      })
      // A WebSocket connection.
      req.on('upgrade', (res, socket) => {
        clearTimeout(timer)
        resolve({ req, res, socket, stay: () => {} })
      })
      req.on('response', res => {
        begun = res
        resolve({ req, res, stay: () => clearTimeout(timer) })
      })
      req.end(data)
    })
  }

  async ask(options, what) {
    const { res } = await this.request(options, what)
    let text = ''
    try {
      for await (const chunk of res.setEncoding('utf8')) if (text.length < SHOWN) text += chunk
    } catch (error) {
      throw error instanceof SoakError ? error : new SoakError(`${what}: its response ended early: ${error.message}`)
    }
    return { status: res.statusCode, text }
  }

  /** Disconnects when the first part of the response body has arrived. */
  async cut(route, options, what) {
    const { req, res } = await this.request({ ...options, agent: false }, what)
    await new Promise((resolve, reject) => {
      // The server may also cut it.
      res.on('error', error => {
        if (!(error instanceof SoakError)) return resolve()
        reject(new SoakError(`${what} sent nothing of its response body within ${this.timeoutMs} ms`))
      })
      res.once('data', resolve).once('close', resolve)
    })
    req.destroy()
    this.expect(route, res.statusCode, what, '')
  }

  expect({ status: expected, route }, status, what, text) {
    if (expected === null ? status >= 200 && status < 400 : expected.includes(status)) return
    const said = text.trim() === '' ? '' : `: ${text.trim().slice(0, SHOWN)}`
    throw new SoakError(
      `${what} was answered ${status}${said}\nGive ${route} a path that exists, or accept ${status} (status: [${status}]). A leak test needs routes that succeed`
    )
  }

  close() {
    this.closed = true
    for (const agent of this.agents) agent.destroy()
    for (const end of this.held) end()
  }
}

/** A body as it is sent: what is neither a string nor a Buffer is JSON. */
function encoded(body, given) {
  const headers = { ...given }
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) return { data: body, headers }
  const hasType = Object.keys(headers).some(name => name.toLowerCase() === 'content-type')
  return { data: JSON.stringify(body), headers: hasType ? headers : { ...headers, 'content-type': 'application/json' } }
}

function asError(error, what) {
  return error instanceof SoakError ? error : new SoakError(`${what} failed: ${error.message || error.code}`)
}

module.exports = { Load }
