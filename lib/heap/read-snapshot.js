'use strict'

/*
 * Reads heap snapshots natively: only the requested results are on the JavaScript heap.
 */

const { native, reason } = require('../core/addon.js')
const options = require('../core/options.js')

const OPEN = 'heap.open(path, options)'
/** Ids have 32 bits, and no object has id 0. */
const LAST_ID = 2 ** 32 - 1

/** An open snapshot. Other threads compute all its answers. */
class Heap {
  #file

  constructor(file) {
    this.#file = file
  }

  /** Calls native code, and turns an exception into a rejection. */
  async #ask(method, ask) {
    try {
      return JSON.parse(await ask(this.#file))
    } catch (error) {
      throw new Error(`plimsoll: heap.${method}: ${error.message}`)
    }
  }

  async summary(...given) {
    options.none('heap.summary()', given)
    return this.#ask('summary()', file => file.summary())
  }

  async diff(after, given) {
    const { final } = options.object('heap.diff(after, options)', given, ['final'])
    if (!isHeap(after)) options.fail('heap.diff(after)', after, 'a heap that heap.open() resolved to')
    if (final !== undefined && !isHeap(final)) {
      options.fail('heap.diff: final', final, 'a heap that heap.open() resolved to')
    }
    return this.#ask('diff()', file => file.diff(after.#file, final?.#file))
  }

  /** For `soak()`: the leaks between this heap and `after`. `grownBytes`: the growth of the heap. */
  async leaks(after, grownBytes) {
    return this.#ask('leaks()', file => file.leaks(after.#file, grownBytes))
  }

  async path(target) {
    if (typeof target === 'string') return this.#ask('path()', file => file.pathOfClass(target))
    const id = checkedId('heap.path(id)', target)
    return this.#ask('path()', file => file.path(id))
  }

  async dominators(given) {
    const { threshold = 1, depth = 10 } = options.object('heap.dominators(options)', given, ['threshold', 'depth'])
    if (!(threshold >= 0 && threshold <= 100)) {
      options.fail('heap.dominators: threshold', threshold, 'percent, a number from 0 to 100')
    }
    options.integer('heap.dominators: depth', depth, 0, 1_000_000)
    return this.#ask('dominators()', file => file.dominators(threshold, depth))
  }

  async object(target) {
    const id = checkedId('heap.object(id)', target)
    return this.#ask('object()', file => file.object(id))
  }

  async close() {
    await this.#file.close()
  }

  static isHeap(value) {
    return typeof value === 'object' && value !== null && #file in value
  }
}

function isHeap(value) {
  return Heap.isHeap(value)
}

function checkedId(where, value) {
  return options.integer(where, value, 1, LAST_ID)
}

async function open(path, given) {
  const { roots = 'devtools' } = options.object(OPEN, given, ['roots'])
  options.oneOf('heap.open: roots', roots, ['devtools', 'gc'])
  if (typeof path !== 'string' || path === '' || path.includes('\0')) {
    options.fail('heap.open(path)', path, 'the path of a heap snapshot')
  }
  if (native === null) throw new Error(`plimsoll: heap.open() needs the addon: ${reason}`)
  try {
    return new Heap(await native.heapOpen(path, roots === 'gc'))
  } catch (error) {
    throw new Error(`plimsoll: heap.open(): ${path}: ${error.message}`)
  }
}

module.exports = { open }
