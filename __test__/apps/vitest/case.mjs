// One of several test files that Vitest runs. Its name is in its path.

import fs from 'node:fs'
import module from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import plimsoll, { limit } from 'plimsoll'
import { expect, test, vi } from 'vitest'

/** Node's own loader, if Vitest's cannot load Express. Then only plimsoll is in Vitest's context. */
const { createRequire } = process.env.OUTSIDE ? process.getBuiltinModule('node:module') : module
const require = createRequire(import.meta.url)
const express = require('express')
const { drive } = require(process.env.SEEN)
const file = path.basename(fileURLToPath(import.meta.url)).split('.')[0]

for (const turn of ['first', 'second']) {
  test(`${turn} request of ${file}`, async () => {
    vi.resetModules()
    const again = await import('plimsoll')
    expect(again.default.limit).toBe(limit)
    const seen = await drive(express, plimsoll, `${file}-${turn}`)
    expect(seen.answers.map(([status]) => status)).toEqual([200, 200, 413, 200])
    expect(seen.ended).toEqual(['the scope'])
    fs.appendFileSync(process.env.RESULTS, `${JSON.stringify({ ...seen, pid: process.pid })}\n`)
  })
}
