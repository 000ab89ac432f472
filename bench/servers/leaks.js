'use strict'

const vm = require('node:vm')
const v8 = require('node:v8')
const { userApp } = require('./bare')
const { state } = require('./plimsoll')

// The environment variable LEAKS names one of these.
const VARIANTS = {
  off: { leaks: false },
  trend: { leaks: true },
  'leaking-off': { leaks: false, leaking: true },
  'leaking-trend': { leaks: { sites: false }, leaking: true },
  'leaking-sites': { leaks: true, leaking: true }
}

/** V8 itself collects less often. With 400, a trend has enough points after a few thousand requests. */
const REQUESTS_A_COLLECTION = 400
/** Live objects of several allocation sites, which are in the profiles too. */
const BALLAST = 400_000

const { leaks, leaking = false } = VARIANTS[process.env.LEAKS ?? 'off']
const profiles = []
const leaked = []
const ballast = []

function leak(id) {
  // 126 words with the header.
  leaked.push(new Array(125).fill(id))
}

function fill() {
  for (let n = 0; n < BALLAST; n += 4) ballast.push({ n }, [n], new Map([[n, n]]), `text ${n} of some length`)
}

/** Times how long a profile blocks the event loop: in V8, in JavaScript and in Rust. */
function watchProfiles() {
  const { Session } = require('node:inspector')
  const { native } = require('../../lib/core/addon.js')
  const { post } = Session.prototype
  let taken = null
  Session.prototype.post = function timed(method, ...rest) {
    const began = performance.now()
    const answer = post.call(this, method, ...rest)
    if (method === 'HeapProfiler.getSamplingProfile') taken = { began, made: performance.now() }
    return answer
  }
  const { profilingProfile } = native
  native.profilingProfile = (...args) => {
    const flat = performance.now()
    profilingProfile(...args)
    const now = performance.now()
    profiles.push([now - taken.began, taken.made - taken.began, flat - taken.made, now - flat])
  }
}

module.exports = {
  packages: ['express', '../../package.json'],
  create() {
    v8.setFlagsFromString('--expose-gc')
    const gc = vm.runInNewContext('gc')
    if (leaks !== false) watchProfiles()
    fill()
    let served = 0
    const app = userApp(app => {
      app.use(require('../..')({ leaks, log: console }))
      app.use((_req, _res, next) => {
        served += 1
        if (leaking) leak(served)
        if (served % REQUESTS_A_COLLECTION === 0) gc()
        next()
      })
    })
    return { app, state: () => ({ ...state(), note: undefined, profiles, trend: require('../..').stats().trend.heap }) }
  }
}
