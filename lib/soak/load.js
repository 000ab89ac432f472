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

/** Characters of an unexpected body that the error shows. */
const SHOWN = 300

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
    const { req, res, stay } = await this.request(this.optionsOf(route, number, false), route.route)
    this.expect(route, res.statusCode, `${route.method} ${req.path}`, '')
    stay()
    res.on('error', () => {})
    res.on('close', () => {
      if (!this.closed) this.lost.set(route.route, (this.lost.get(route.route) ?? 0) + 1)
    })
    res.resume()
    this.held.push(() => req.destroy())
  }

  async one(route, number, agent) {
    const options = this.optionsOf(route, number, agent)
    const what = `${route.method} ${options.path}`
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
      let data = body
      const headers = { ...options.headers }
      if (data !== undefined && typeof data !== 'string' && !Buffer.isBuffer(data)) {
        data = JSON.stringify(data)
        if (!Object.keys(headers).some(name => name.toLowerCase() === 'content-type'))
          headers['content-type'] = 'application/json'
      }
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
        const failure =
          error instanceof SoakError ? error : new SoakError(`${what} failed: ${error.message || error.code}`)
        failure.reused = error.code === 'ECONNRESET' && req.reusedSocket
        reject(failure)
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

module.exports = { Load }
