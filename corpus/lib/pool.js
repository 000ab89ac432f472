'use strict'

/* A pool of connections, in the shape of generic-pool: `acquire()`, `release(connection)`, `destroy(connection)`. */

const { once } = require('node:events')
const net = require('node:net')
const { upstream } = require('./upstream.js')

class Connection {
  constructor(socket) {
    this.socket = socket
  }

  /** One query at a time. */
  async query(line) {
    this.socket.write(`${line}\n`)
    const [answer] = await once(this.socket, 'data')
    return answer.toString().trim()
  }
}

class Pool {
  #idle = []
  #borrowed = new Set()
  #waiting = []
  #port = null

  /** `ping`: `acquire()` tests a connection before it returns it. */
  constructor({ max, ping = false }) {
    this.max = max
    this.ping = ping
  }

  async acquire() {
    const connection = await this.#next()
    if (this.ping) await connection.query('ping')
    return connection
  }

  async #next() {
    if (this.#idle.length > 0) return this.#lend(this.#idle.pop())
    if (this.#borrowed.size >= this.max) return new Promise(resolve => this.#waiting.push(resolve))
    // Counts the connection while it is being opened.
    const place = {}
    this.#borrowed.add(place)
    this.#port ??= upstream('database')
    const socket = net.connect(await this.#port, '127.0.0.1')
    await once(socket, 'connect')
    this.#borrowed.delete(place)
    return this.#lend(new Connection(socket))
  }

  #lend(connection) {
    this.#borrowed.add(connection)
    return connection
  }

  release(connection) {
    if (!this.#borrowed.delete(connection)) throw new Error('not a connection that was taken from this pool')
    const waiting = this.#waiting.shift()
    if (waiting) waiting(this.#lend(connection))
    else this.#idle.push(connection)
  }

  async destroy(connection) {
    this.#borrowed.delete(connection)
    connection.socket.destroy()
  }

  isBorrowedResource(connection) {
    return this.#borrowed.has(connection)
  }
}

module.exports = { Pool }
