'use strict'

const vm = require('node:vm')
const v8 = require('node:v8')
const { userApp } = require('./bare')
const { state } = require('./plimsoll')

// What looking for leaks costs: LEAKS names one of these.
const WAYS = {
  off: { leaks: false },
  trend: { leaks: true },
  'leaking-off': { leaks: false, leaking: true },
  'leaking-trend': { leaks: { sites: false }, leaking: true },
  'leaking-sites': { leaks: true, leaking: true }
}

/** So often that a trend has its points within some thousand requests: V8 itself would collect far more rarely. */
const REQUESTS_A_COLLECTION = 400
/** What lives anyway, in objects of some places: a profile has samples of these too. */
const BALLAST = 400_000

const { leaks, leaking = false } = WAYS[process.env.LEAKS ?? 'off']
const profiles = []
const kept = []
const ballast = []

function keep(id) {
  // 126 words with the header.
  kept.push(new Array(125).fill(id))
}

function fill() {
  for (let n = 0; n < BALLAST; n += 4) ballast.push({ n }, [n], new Map([[n, n]]), `text ${n} of some length`)
}

/** Times what a profile takes of the event loop: V8's making of it, ours in JavaScript, ours in Rust. */
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
        if (leaking) keep(served)
        if (served % REQUESTS_A_COLLECTION === 0) gc()
        next()
      })
    })
    return { app, state: () => ({ ...state(), note: undefined, profiles, trend: require('../..').stats().trend.heap }) }
  }
}
