'use strict'

const { execFile } = require('node:child_process')
const { mkdtempSync, rmSync } = require('node:fs')
const { tmpdir } = require('node:os')
const { join } = require('node:path')

const bin = join(__dirname, '..', '..', 'bin', 'plimsoll.js')

/** Runs `plimsoll` with these arguments: `{ code, stdout, stderr }`. */
function plimsoll(args, env = {}) {
  return new Promise(resolve => {
    execFile(
      process.execPath,
      [bin, ...args],
      { env: { ...process.env, ...env }, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr })
    )
  })
}

/** The records that `plimsoll show --json` prints for a folder, file or name. */
async function show(target, env) {
  const { code, stdout, stderr } = await plimsoll(['show', '--json', target], env)
  if (code !== 0) throw new Error(`plimsoll show ${target}: exit code ${code}\n${stderr}`)
  return stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** A temporary folder that is removed after the test. */
function folder(t, base = tmpdir()) {
  const path = mkdtempSync(join(base, 'plimsoll-test-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

module.exports = { plimsoll, show, folder }
