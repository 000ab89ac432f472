'use strict'

/*
 * The blocks of requests, with collections after each. All routes share a block at first: if it stays under the bound,
 * each of them does. Otherwise some blocks are measured route by route. Those that grow are measured alone, the rest
 * together again. Blocks continue until each route is decided.
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
/** After this many waits in a row in which almost nothing was released, there are no more of them. */
const IN_VAIN = 2
/** The longest warm-up of a slow route. */
const WARMUP_MS = 20_000
const WARMUP_PARTS = 10
const MOST = 0.75
/** Requests of a route in a block that routes share, as a part of its own block, and at least. */
const SHARED_PART = 3
/** Shared blocks, at most. Growth is not a matter of chance if this number of blocks in a row show it. */
const SHARED_ROUNDS = 24
const GROW_IN_A_ROW = 4
/** A route is measured alone if it grows in at least two of these blocks. */
const SEPARATE_ROUNDS = 3
const SUSPICIOUS = 2

class Rounds {
  constructor(server, load, settings, report) {
    Object.assign(this, { server, load, settings, report })
    /** The figures after the last block. */
    this.last = null
    /** By series: waits in a row in which nothing was released. */
    this.inVain = new Map()
    /** By route: its number in the child's report of retained requests. */
    this.keys = new Map()
  }

  /** What exists before the measurement does not count, so everything that is created once is created here. */
  async warmUp(routes) {
    for (const route of routes) {
      const { ms, kept } = await this.warm(route)
      route.block = route.requests ?? this.settings.requests ?? sizeOf(ms, kept)
    }
  }

  /** Resolves to `{ ms, kept }` of a request: its duration, and the bytes that it retains. */
  async warm(route) {
    this.report({ phase: 'warming up', route: route.route })
    const requests = Math.ceil(this.settings.warmup / WARMUP_PARTS)
    const began = performance.now()
    let sent = 0
    let before = null
    for (let part = 1; part <= WARMUP_PARTS && performance.now() - began < WARMUP_MS; part++) {
      if (part === WARMUP_PARTS) before = await this.figures()
      await this.send(route, requests)
      sent += requests
    }
    const ms = (performance.now() - began) / sent
    const after = await this.figures()
    return { ms, kept: before === null ? 0 : this.kept(before, after) / requests }
  }

  kept(before, after) {
    return Math.max(...['heap', 'external', 'malloc'].map(name => (after[name] ?? 0) - (before[name] ?? 0)), 0)
  }

  /** Resolves to `{ series, together }` of each route: how many routes the series is of. */
  async measure(routes) {
    this.keys = new Map(routes.map((route, key) => [route, key]))
    this.found = new Map()
    await this.decide(routes)
    return this.found
  }

  async decide(routes) {
    if (routes.length === 1) return this.alone(routes[0], this.seriesOf(routes))
    const shared = await this.together(routes)
    if (shared.decision === 'under') {
      for (const route of routes) this.found.set(route, { series: shared, together: routes.length })
      return
    }
    const { growing, rest } = await this.separated(routes)
    // First those without growth, while the heap is small. A group that has no growing route is halved, so it ends.
    if (growing.length === 0) {
      const half = Math.ceil(rest.length / 2)
      await this.decide(rest.slice(0, half))
      return this.decide(rest.slice(half))
    }
    if (rest.length > 0) await this.decide(rest)
    for (const [route, series] of growing) await this.alone(route, series)
  }

  seriesOf(routes) {
    const { max, rounds } = this.settings
    const requests = Math.min(...routes.map(route => route.block)) * rounds
    return new Series(
      routes.map(route => this.keys.get(route)),
      max,
      enough(requests)
    )
  }

  /** Blocks that all routes share: with the same growth, the bound of one request is held to one request of each. */
  async together(routes) {
    const series = this.seriesOf(routes)
    const own = route => route.requests ?? this.settings.requests
    const parts = routes.map(route => [
      route,
      own(route) ?? Math.max(LEAST_BLOCK, Math.ceil(route.block / SHARED_PART))
    ])
    const route = `${routes.length} routes`
    for (let round = 1; round <= Math.min(SHARED_ROUNDS, this.settings.rounds); round++) {
      this.report({ phase: 'measuring', route, round, rounds: SHARED_ROUNDS })
      await this.block(parts, series)
      if (series.decide() === 'under' || series.keepsGrowing(GROW_IN_A_ROW)) break
    }
    return series
  }

  /** Blocks of each route, in turn: `{ growing, rest }`, where `growing` has the series of each so far. */
  async separated(routes) {
    const all = new Map(routes.map(route => [route, this.seriesOf([route])]))
    const grew = new Map(routes.map(route => [route, 0]))
    for (let round = 1; round <= SEPARATE_ROUNDS; round++) {
      for (const route of routes) {
        this.report({ phase: 'searching the route', route: route.route, round, rounds: SEPARATE_ROUNDS })
        if (await this.block([[route, route.block]], all.get(route))) grew.set(route, grew.get(route) + 1)
      }
    }
    const grows = route => grew.get(route) >= SUSPICIOUS
    return { growing: routes.filter(grows).map(route => [route, all.get(route)]), rest: routes.filter(r => !grows(r)) }
  }

  /** Further blocks of one route, until it is decided. */
  async alone(route, series) {
    const { rounds } = this.settings
    for (let round = series.blocks + 1; round <= rounds; round++) {
      this.report({ phase: 'measuring', route: route.route, round, rounds })
      await this.block([[route, route.block]], series)
      if (series.decide() !== 'open') break
    }
    if (series.decide() === 'open') series.close()
    this.found.set(route, { series, together: 1 })
  }

  /** A block of `parts`: routes with their numbers of requests. Returns whether it has grown by more than is allowed. */
  async block(parts, series) {
    const before = this.last ?? (await this.figures())
    for (const [route, requests] of parts) {
      await this.server.ask('block', { route: this.keys.get(route) })
      await this.server.during(this.load.send(route, requests))
    }
    await this.server.during(this.load.flush())
    const requests = Math.min(...parts.map(([, requests]) => requests))
    const grows = (from, to) => series.grows(requests, from, to)
    const figures = await this.figures()
    const after = grows(before, figures) ? await this.later(series, figures, grows) : figures
    series.add(requests, before, after)
    return grows(before, after)
  }

  /**
   * The figures after a block, when what stays alive a little longer is gone too. Otherwise the next route would be
   * credited for its release.
   */
  async later(series, at, grows) {
    const inVain = this.inVain.get(series) ?? 0
    if (inVain >= IN_VAIN || this.settings.settleMs >= LATE_MS) return at
    const after = await this.figures(LATE_MS)
    const hasGone = grows(after, at)
    this.inVain.set(series, hasGone ? 0 : inVain + 1)
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
