'use strict'

/*
 * Measures what middleware sets on `req`, `res`, `res.locals` and `req.session`, at the end of a sample of requests.
 * New properties are noted before each layer of a sampled request. They are attributed to the layer that ran before.
 *
 * Values that requests share (a pool, a cache, a template) do not count. A property is reported when two requests have
 * set a large value of their own.
 */

const { definitionOf, nameOf, unwrapped } = require('../core/function-info.js')
const internalErrors = require('../core/internal-errors.js')
const routes = require('../express/route-tracker.js')
const { find } = require('../recorder/findings.js')
const { sizeOf } = require('./object-size.js')
const owners = require('./request-owner.js')

const EVERY_MS = 100
/** Set by Express and its parsers: their own properties, or the body of the request. */
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
/** Characters at each end of a string that identify it: strings have no identity. */
const ENDS = 64

/** Route and property -> the value seen there first, until there is a second one. */
const candidates = new Map()
let over = null
let last = 0
let started = false

/** The properties of one object that Node did not set. */
class Part {
  constructor(path, usual, known) {
    this.path = path
    this.known = new Set([...usual, ...known])
    /** Property -> the function that was running when it appeared. */
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

/** What is known of a sampled request while it is in flight. */
class Sample {
  constructor({ req, res }) {
    // Express has not set anything yet: the present properties are Node's.
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

/** `bytes`: the size from which on a property is reported. */
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

/** Whether another request had a different large value in this property. */
function isOwn(name, value) {
  const mark = typeof value === 'string' ? `${value.length} ${value.slice(0, ENDS)} ${value.slice(-ENDS)}` : ''
  const before = candidates.get(name)
  if (before === undefined && candidates.size < CANDIDATES) candidates.set(name, mark)
  // object-size.js does not count an object twice, so an object here is a different one.
  return before !== undefined && (mark === '' || mark !== before)
}

function report(title, path, bytes, setter) {
  const inner = setter === null ? null : unwrapped(setter)
  const by = inner === null ? '' : `, set by ${nameOf(inner) || '(anonymous)'}`
  find({
    kind: 'large-property',
    momentary: true,
    route: title,
    origin: (inner === null ? '' : definitionOf(inner)) || undefined,
    severity: 'warning',
    advice:
      `${path} has about ${(bytes / MIB).toFixed(1)} MiB at the end of a request${by}. Retain only what is needed of it, or stream it. ` +
      'Each request in flight retains as much, and so does a reference to an ended request'
  })
}

module.exports = { start }
