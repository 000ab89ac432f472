'use strict'

/*
 * The blocks of requests. Routes take turns, with collections after each block. So what a block adds belongs to its
 * route, and drift is shared by all. Blocks continue until each route is decided.
 */

const { ENOUGH_REQUESTS } = require('./quantities.js')
const { Series } = require('./series.js')

/** Requests of a block by default, and if they are slow or retain much. */
const BLOCK = 150
const LEAST_BLOCK = 25
const BLOCK_MS = 1500
const BLOCK_BYTES = 4 * 1024 * 1024
/**
 * What stays alive a little longer than its request is gone by then. For example, undici (`fetch`) releases its timers
 * twice a second.
 */
const LATE_MS = 1200
/** After this many waits in a row in which almost nothing was released, the route is not waited for any more. */
const IN_VAIN = 2
/** The longest warm-up of a slow route. */
const WARMUP_MS = 20_000
const WARMUP_PARTS = 10
const MOST = 0.75

class Rounds {
  constructor(server, load, settings, report) {
    Object.assign(this, { server, load, settings, report })
    /** The figures after the last block. */
    this.last = null
    /** By route: waits in a row in which nothing was released. */
    this.inVain = new Map()
  }

  /** What exists before the measurement does not count, so everything that is created once is created here. */
  async warmUp(routes) {
    for (const route of routes) {
      this.report({ phase: 'warming up', route: route.route })
      const began = performance.now()
      let sent = 0
      let before = null
      for (let part = 1; part <= WARMUP_PARTS && performance.now() - began < WARMUP_MS; part++) {
        const requests = Math.ceil(this.settings.warmup / WARMUP_PARTS)
        if (part === WARMUP_PARTS) before = await this.figures()
        await this.send(route, requests)
        sent += requests
      }
      const ms = (performance.now() - began) / sent
      const after = await this.figures()
      const kept = before === null ? 0 : this.kept(before, after) / Math.ceil(this.settings.warmup / WARMUP_PARTS)
      route.block = route.requests ?? this.settings.requests ?? sizeOf(ms, kept)
    }
  }

  kept(before, after) {
    return Math.max(...['heap', 'external', 'malloc'].map(name => (after[name] ?? 0) - (before[name] ?? 0)), 0)
  }

  /** Resolves to the series of each route. */
  async measure(routes) {
    const { max, rounds } = this.settings
    const all = new Map(routes.map((route, key) => [route, new Series(key, max, enough(route.block * rounds))]))
    let open = routes
    for (let round = 1; round <= rounds && open.length > 0; round++) {
      for (const route of open) {
        this.report({ phase: 'measuring', route: route.route, round, rounds, open: open.length, routes: routes.length })
        await this.block(route, all.get(route))
      }
      open = open.filter(route => all.get(route).decide() === 'open')
    }
    for (const route of open) all.get(route).close()
    return all
  }

  async block(route, series, requests = route.block) {
    const before = this.last ?? (await this.figures())
    await this.server.ask('block', { route: series.key })
    await this.send(route, requests)
    const grows = (from, to) => series.grows(requests, from, to)
    const after = await this.figures()
    series.add(requests, before, grows(before, after) ? await this.later(route, after, grows) : after)
  }

  /**
   * The figures after a block, when what stays alive a little longer is gone too. Otherwise the next route would be
   * credited for its release.
   */
  async later(route, at, grows) {
    const inVain = this.inVain.get(route) ?? 0
    if (inVain >= IN_VAIN || this.settings.settleMs >= LATE_MS) return at
    const after = await this.figures(LATE_MS)
    const hasGone = grows(after, at)
    this.inVain.set(route, hasGone ? 0 : inVain + 1)
    // Growth during the wait belongs to none of the blocks.
    return hasGone ? after : at
  }

  async send(route, requests) {
    await this.server.during(this.load.send(route, requests))
    await this.server.during(this.load.flush())
  }

  async figures(settleMs = this.settings.settleMs) {
    const patience = 60_000 + settleMs
    this.last = await this.server.ask('figures', { connections: this.load.open, settleMs }, patience)
    return this.last
  }
}

/** If the wanted number of requests is not possible, most of the possible ones. */
function enough(requests) {
  return Math.min(ENOUGH_REQUESTS, MOST * requests)
}

function sizeOf(ms, kept) {
  const size = Math.min(BLOCK, BLOCK_MS / ms, kept > 0 ? BLOCK_BYTES / kept : BLOCK)
  return Math.max(LEAST_BLOCK, Math.round(size))
}

module.exports = { Rounds }
