/* A pool of connections in memory, with the interface of pg's. Every route shares it, so all rows have one allocation site. */

import { setTimeout as pause } from 'node:timers/promises'

const ROWS = 20

export interface Row {
  id: number
  name: string
  text: string
  total: number
  values: unknown[]
}

class Pool {
  private free: number
  private waiting: (() => void)[]

  constructor(max = 10) {
    this.free = max
    this.waiting = []
  }

  async query(text: string, values: unknown[] = []): Promise<{ rows: Row[] }> {
    if (this.free === 0) await new Promise<void>(resolve => this.waiting.push(resolve))
    else this.free -= 1
    try {
      await pause(1 + Math.random() * 2)
      return {
        rows: Array.from({ length: ROWS }, (_, id) => ({ id, name: `row ${id}`, text, total: id * 2.5, values }))
      }
    } finally {
      const next = this.waiting.shift()
      if (next === undefined) this.free += 1
      else next()
    }
  }
}

export const pool = new Pool()
