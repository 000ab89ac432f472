'use strict'

const cache = new Map()

class LeakedSession {
  constructor(n) {
    this.user = `user ${n}`
    this.items = [n, n + 1]
    this.note = { text: `note ${n}`, of: this.user }
  }
}

exports.Passing = class Passing {
  constructor(n) {
    this.text = `passing ${n}`
  }
}

exports.remember = count => {
  for (let i = 0; i < count; i++) cache.set(cache.size, new LeakedSession(cache.size))
}
