/* The leak: an entry for each order and each report, and none is ever deleted. */

import { pool } from './database.ts'

/** What an entry retains: rows that the pool has allocated, or objects that are allocated here. */
const SHAPE = process.env.SHOP_SHAPE ?? 'rows'

interface Entry {
  id: number
  user: string
  action: string
  details: unknown
  rows: unknown[]
}

class AuditTrail {
  private entries: Map<number, Entry>
  private count: number

  constructor() {
    this.entries = new Map()
    this.count = 0
  }

  async record(user: string, action: string, details: unknown): Promise<number> {
    const { rows } = await pool.query('insert into audit', [user, action])
    const kept = SHAPE === 'rows' ? rows : rows.map(({ id, name }) => ({ id, name, user, action, at: new Date() }))
    const id = ++this.count
    this.entries.set(id, { id, user, action, details, rows: kept })
    return id
  }
}

export const audit = new AuditTrail()
