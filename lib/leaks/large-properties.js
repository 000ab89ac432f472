'use strict'

/*
 * What middleware hangs on `req`, `res`, `res.locals` and `req.session`, sized at the end of a sample of requests, and whose it is: before
 * each layer of a sampled request it is noted what is new, which is then of the layer before.
 *
 * What many requests share (a pool, a cache, a template) is no request's: a property is found when two requests have brought a large
 * value of their own.
 */

const { definitionOf, nameOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { find } = require('../recorder/findings.js')
const { sizeOf } = require('./object-size.js')
const owners = require('./request-owner.js')

const EVERY_MS = 100
/** What Express and its parsers put there: theirs, or the request's own body. */
const USUAL = {
  req: [
    'app',
    'baseUrl',
    'body',
    'file',
    'files',
    'next',
    'originalUrl',
    'params',
    'query',
    'rawBody',
    'res',
    'route',
    'url'
  ],
  res: ['app', 'req', 'locals', 'statusMessage'],
  locals: ['settings'],
  session: ['cookie', 'req']
}
const CANDIDATES = 256
const MIB = 2 ** 20
/** Of a string there is no telling whose it is but by what it says. */
const ENDS = 64

/** Route and property -> what was last seen there, until there is a second. */
const candidates = new Map()
let over = null
let last = 0
let started = false

/** The properties of one object that are none of Node's. */
class Part {
  constructor(path, usual, known) {
    this.path = path
    this.known = new Set([...usual, ...known])
    /** Property -> the function that was running when it came. */
    this.setters = new Map()
  }

  look(object, setter) {
    if (typeof object !== 'object' || object === null) return
    for (const key of Object.keys(object)) {
      if (this.known.has(key)) continue
      this.known.add(key)
      this.setters.set(key, setter)
    }
  }
}

/** What is known of a sampled request while it lasts. */
class Sample {
  constructor({ req, res }) {
    // Before Express has seen them: what they have now is Node's.
    this.req = new Part('req', [...USUAL.req, 'session'], Object.keys(req))
    this.res = new Part('res', USUAL.res, Object.keys(res))
    this.locals = new Part('res.locals', USUAL.locals, [])
    this.session = new Part('req.session', USUAL.session, [])
    this.running = null
  }

  look({ req, res }) {
    for (const [part, object] of this.parts(req, res)) part.look(object, this.running)
  }

  parts(req, res) {
    const session = Object.getOwnPropertyDescriptor(req, 'session')?.value
    return [
      [this.req, req],
      [this.res, res],
      [this.locals, res.locals],
      [this.session, session]
    ]
  }
}

/** `bytes`: from when on one property of a request is worth a word. */
function start(bytes) {
  over = Math.min(bytes, over ?? bytes)
  if (started) return
  started = true
  owners.start()
  owners.onRequestStart(owner => {
    const now = performance.now()
    if (now - last < EVERY_MS) return
    last = now
    owner.sample = new Sample(owner.state)
  })
  routes.lookWith((state, layer) => {
    const sample = state.owner === null ? null : state.owner.sample
    if (sample === null) return
    try {
      sample.look(state)
      sample.running = layer.handle
    } catch (error) {
      internalErrors.report('when a layer was called', error)
    }
  })
  owners.onRequestEnd(owner => {
    const { sample, state, title } = owner
    if (sample === null) return
    owner.sample = null
    try {
      weigh(sample, state, title)
    } catch (error) {
      internalErrors.report('when a request was sized', error)
    }
  })
}
function weigh(sample, state, title) {
  sample.look(state)
  const seen = new Set([state.req, state.res])
  for (const [part, object] of sample.parts(state.req, state.res)) {
    for (const [key, setter] of part.setters) {
      const value = Object.getOwnPropertyDescriptor(object, key)?.value
      if (value === undefined) continue
      const bytes = sizeOf(value, seen)
      if (bytes >= over && isOwn(`${title}\0${part.path}.${key}`, value))
        report(title, `${part.path}.${key}`, bytes, setter)
    }
  }
}

/** Whether another request had a large value there that was another one. */
function isOwn(name, value) {
  const mark = typeof value === 'string' ? `${value.length} ${value.slice(0, ENDS)} ${value.slice(-ENDS)}` : ''
  const before = candidates.get(name)
  if (before === undefined && candidates.size < CANDIDATES) candidates.set(name, mark)
  // Objects that have been counted before are not counted again (object-size.js), so these are others.
  return before !== undefined && (mark === '' || mark !== before)
}

function report(title, path, bytes, setter) {
  const inner = setter === null ? null : unwrapped(setter)
  const by = inner === null ? '' : `, set by ${nameOf(inner) || '(anonymous)'}`
  find({
    kind: 'large-property',
    route: title,
    origin: (inner === null ? '' : definitionOf(inner)) || undefined,
    severity: 'warning',
    advice:
      `${path} has about ${(bytes / MIB).toFixed(1)} MiB at the end of a request${by}. Retain only what is needed of it, or stream it. ` +
      'Each request in flight retains as much, and so does a reference to an ended request'
  })
}

module.exports = { start }
