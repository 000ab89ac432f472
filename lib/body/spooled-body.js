'use strict'

/*
 * A body that was read into native memory or a file: `req.body` after `spool()`. It ends with its request. At the end
 * of the response everything is freed, independently of the garbage collector, and later uses throw.
 */

const { constants } = require('node:buffer')
const path = require('node:path')
const { Readable } = require('node:stream')
const { fileURLToPath } = require('node:url')
const util = require('node:util')
const createError = require('http-errors')
const { native } = require('../core/addon.js')
const options = require('../core/options.js')

/** Chunk size of a stream, and how far it reads ahead. */
const CHUNK = 64 * 1024
/** Step size when a body is read whole: native memory uses no more of it at a time. */
const STEP = 1024 * 1024

/** Waiting callers: of bodies by handle, of reads and moves by ticket. */
const bodies = new Map()
const reads = new Map()
const moves = new Map()
let lastTicket = 0
let listening = false

/** Receives the answers of the threads. Call this before the first body. */
function listen() {
  if (listening) return
  listening = true
  native.spoolListen((handle, ticket, failure) => {
    if (ticket === 0) return bodies.get(handle)?.()
    const waiting = moves.has(ticket) ? moves : reads
    const settle = waiting.get(ticket)
    // A read whose request has ended was rejected then.
    if (settle === undefined) return
    waiting.delete(ticket)
    settle(failure)
  })
}

function nextTicket() {
  do lastTicket = (lastTicket % 0xffffffff) + 1
  while (reads.has(lastTicket) || moves.has(lastTicket))
  return lastTicket
}

/** A system error in the form of Node's `fs`: its code, if there is one, and its text. */
function cause({ errno, message }) {
  const [code, text] = (errno > 0 && util.getSystemErrorMap().get(-errno)) || []
  return code === undefined ? { detail: message } : { code, detail: `${code}: ${text}` }
}

function systemError(doing, failure) {
  const { code, detail } = cause(failure)
  const error = new Error(`plimsoll: ${doing}: ${detail}`)
  return code === undefined ? error : Object.assign(error, { code, errno: -failure.errno })
}

function over() {
  const error = new Error(
    'plimsoll: the spooled body was freed at the end of its request. Read it, or call moveTo(path), before the response ends'
  )
  return Object.assign(error, { code: 'ERR_PLIMSOLL_SPOOLED_OVER' })
}

/** Ends a body. The class sets it, because only the class has access to the private fields. */
let end

class Spooled {
  #handle
  #size
  #over = false
  /** What must be ended too: streams, and the tickets of reads. */
  #streams = new Set()
  #tickets = new Set()

  static {
    end = body => body.#end()
  }

  constructor(handle, size) {
    this.#handle = handle
    this.#size = size
  }

  /** Bytes. */
  get size() {
    return this.#size
  }

  stream() {
    const stream = new SpooledStream((at, length, make) => this.#read(at, length, make), this.#size)
    if (this.#over) {
      stream.destroy(over())
    } else {
      this.#streams.add(stream)
      stream.once('close', () => this.#streams.delete(stream))
    }
    return stream
  }

  async buffer() {
    if (this.#size > constants.MAX_LENGTH) {
      throw new RangeError(`plimsoll: a body of ${this.#size} bytes does not fit into a buffer. Use stream()`)
    }
    if (this.#over) throw over()
    const whole = Buffer.allocUnsafeSlow(this.#size)
    for (let at = 0; at < this.#size; at += STEP) {
      const length = Math.min(STEP, this.#size - at)
      await this.#read(at, length, () => whole.subarray(at, at + length))
    }
    return whole
  }

  async text() {
    return new TextDecoder().decode(await this.buffer())
  }

  async json() {
    const text = await this.text()
    try {
      return JSON.parse(text)
    } catch (error) {
      // The client sent invalid data, as with express.json().
      throw createError(400, error, { type: 'entity.parse.failed' })
    }
  }

  async moveTo(target, given) {
    const to = pathOf(target)
    const { overwrite = false } = options.object('moveTo()', given, ['overwrite'])
    options.oneOf("moveTo()'s overwrite", overwrite, [true, false])
    if (this.#over) throw over()
    const ticket = nextTicket()
    return new Promise((resolve, reject) => {
      moves.set(ticket, failure => (failure ? reject(systemError(`moving a body to ${to}`, failure)) : resolve()))
      native.spoolMove(this.#handle, ticket, to, overwrite)
    })
  }

  /**
   * Fills the result of `make(length)`, which is called when the bytes are there. The promise must not refer to it: a
   * promise that has waited for two scavenges is in V8's old generation, and would retain it until the next major
   * collection.
   */
  async #read(at, length, make) {
    if (this.#over) throw over()
    const ticket = nextTicket()
    if (native.spoolRead(this.#handle, ticket, at, length)) return void native.spoolCopy(this.#handle, at, make(length))
    this.#tickets.add(ticket)
    await new Promise((resolve, reject) => {
      reads.set(ticket, (failure, ended = false) => {
        this.#tickets.delete(ticket)
        try {
          if (failure) throw systemError('reading a spooled body', failure)
          if (ended || !native.spoolTake(make(length))) throw over()
          resolve()
        } catch (error) {
          reject(error)
        }
      })
    })
  }

  #end() {
    this.#over = true
    for (const stream of this.#streams) stream.destroy(over())
    for (const ticket of this.#tickets) {
      const settle = reads.get(ticket)
      reads.delete(ticket)
      settle(null, true)
    }
    native.spoolClose(this.#handle)
  }

  [util.inspect.custom]() {
    return `Spooled { size: ${this.#size}${this.#over ? ', over' : ''} }`
  }
}

/** Each stream has its own position and pace, so several can run at once. */
class SpooledStream extends Readable {
  #read
  #at = 0
  #size
  /** Bytes that were read and are not pushed yet. */
  #chunk = null
  /** A new Buffer each time, because a consumer may retain it. */
  #make = length => {
    this.#chunk = Buffer.allocUnsafeSlow(length)
    return this.#chunk
  }

  constructor(read, size) {
    super({ highWaterMark: CHUNK })
    this.#read = read
    this.#size = size
  }

  _read() {
    const length = Math.min(CHUNK, this.#size - this.#at)
    if (length === 0) return this.push(null)
    this.#read(this.#at, length, this.#make).then(
      () => {
        const chunk = this.#chunk
        this.#chunk = null
        this.#at += length
        this.push(chunk)
      },
      error => this.destroy(error)
    )
  }

  /**
   * Like a request's own stream, it emits the error only if there is a listener: a disconnecting client must not cause
   * an uncaught exception.
   */
  _destroy(error, callback) {
    process.nextTick(() => callback(this.listenerCount('error') > 0 ? error : null))
  }
}

function pathOf(target) {
  const file = options.isUrl(target) && target.protocol === 'file:' ? fileURLToPath(target) : target
  if (typeof file === 'string' && file !== '' && !file.includes('\0')) return path.resolve(file)
  return options.fail("moveTo()'s path", target, "a path or a 'file:' URL")
}

module.exports = { Spooled, bodies, listen, cause, end: body => end(body) }
