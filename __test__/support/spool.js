'use strict'

const { existsSync, mkdirSync, mkdtempSync, rmSync } = require('node:fs')
const { join } = require('node:path')
const { descriptorsOf } = require('./processes.js')
const { random } = require('./uploads.js')

/** Bytes that differ at each position, the same for the same seed. */
function bytes(size, seed = 1) {
  const next = random(seed)
  const data = Buffer.allocUnsafe(size)
  for (let at = 0; at + 4 <= size; at += 4) data.writeUInt32LE(next() * 2 ** 32, at)
  for (let at = size - (size % 4); at < size; at++) data[at] = at
  return data
}

/** The descriptors of this process (or of `pid`) whose files are in `dir`. */
function descriptors(dir, pid = 'self') {
  return descriptorsOf(pid).flatMap(([fd, target]) => (target.startsWith(`${dir}/`) ? [fd] : []))
}

/** A folder of the test's own on a disk, not in memory: in the repository. */
function onDisk(t) {
  const parent = join(__dirname, '..', '..', 'target')
  mkdirSync(parent, { recursive: true })
  return removed(t, mkdtempSync(join(parent, 'spool-test-')))
}

/** A folder of the test's own on tmpfs. Null after a skip if there is none. */
function inMemory(t) {
  if (existsSync('/dev/shm')) return removed(t, mkdtempSync('/dev/shm/spool-test-'))
  t.skip('no /dev/shm')
  return null
}

function removed(t, path) {
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

module.exports = { bytes, descriptors, onDisk, inMemory }
