'use strict'

/** A cache that evicts the least recently used entry. */
class Lru {
  #entries = new Map()

  constructor(capacity) {
    this.capacity = capacity
  }

  get(key) {
    const value = this.#entries.get(key)
    if (value === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, value)
    return value
  }

  set(key, value) {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size > this.capacity) this.#entries.delete(this.#entries.keys().next().value)
  }
}

module.exports = { Lru }
