'use strict'

// Creates a heap like that of the server of a shop, and writes two snapshots. The second one has a twentieth more
// sessions, of the class `LeakedSession`. Arguments: the first file, the number of its sessions, the second file.

const v8 = require('node:v8')

const [before, count, after] = process.argv.slice(2)

class LineItem {
  constructor(n) {
    this.sku = `sku-${n % 5000}`
    this.quantity = n % 7
    this.price = n * 1.25
    this.tags = [n % 3, `tag ${n % 100}`]
  }
}

class Session {
  constructor(n) {
    this.id = `session ${n}`
    this.user = { name: `user ${n % 1000}`, roles: ['customer', 'admin'], n }
    this.items = [new LineItem(n), new LineItem(n + 1)]
    this.seen = new Map([[n, this.user]])
    this.touch = () => this.id
  }
}

class LeakedSession extends Session {}

const cache = new Map()
for (let n = 0; n < Number(count); n++) cache.set(n, new Session(n))
v8.writeHeapSnapshot(before)
const more = Math.ceil(Number(count) / 20)
for (let n = 0; n < more; n++) cache.set(cache.size, new LeakedSession(n))
v8.writeHeapSnapshot(after)
// The cache must stay alive until the last snapshot is written.
process.exitCode = cache.size > 0 ? 0 : 1
