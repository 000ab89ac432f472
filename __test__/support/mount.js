'use strict'

const { execFileSync } = require('node:child_process')
const { mkdirSync, mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

/** Mounts something at a new folder for the time of a test. Null after a skip if that is not possible. */
function mount(t, args, prepare = () => {}) {
  const dir = mkdtempSync(join(tmpdir(), 'plimsoll-test-'))
  const target = join(dir, 'mounted')
  mkdirSync(target)
  let mounted = false
  t.after(() => {
    if (mounted) execFileSync('umount', ['--lazy', target])
    rmSync(dir, { recursive: true })
  })
  try {
    prepare(dir)
    execFileSync('mount', [...args(dir), target], { stdio: 'pipe' })
    mounted = true
  } catch (error) {
    // Needs root, and a kernel that permits it. Containers often do not, in CI too.
    t.skip(`cannot mount: ${String(error.stderr || error.message).trim()}`)
    return null
  }
  return target
}

module.exports = { mount }
