'use strict'

const { spawn } = require('node:child_process')
const path = require('node:path')

const KEPT = 16_384
/** The file that each mode loads before a suite. */
const PRELOADS = { bare: null, wrapper: 'wrapper.js', plimsoll: 'plimsoll.js' }

const running = new Set()
process.on('exit', stopAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130))

function stopAll() {
  for (const child of running) stop(child)
}

/** Kills the process and its children: each suite is the leader of a process group. */
function stop(child) {
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended already.
  }
}

/**
 * Runs a program in one of the modes of `PRELOADS`, for at most `timeoutMs`. Resolves to `{ code, signal, late, output }`.
 * `late`: whether it was stopped. `output`: the end of its output.
 */
function run(command, args, { cwd, mode, env, timeoutMs }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment(mode, env)
    })
    running.add(child)
    let output = ''
    let late = false
    const keep = text => {
      output = (output + text).slice(-KEPT)
    }
    child.stdout.setEncoding('utf8').on('data', keep)
    child.stderr.setEncoding('utf8').on('data', keep)
    const timer = setTimeout(() => {
      late = true
      stop(child)
    }, timeoutMs)
    const end = () => {
      clearTimeout(timer)
      // Children that are still running would occupy ports, and the pipes would stay open.
      stop(child)
      running.delete(child)
    }
    child.on('error', error => {
      end()
      reject(error)
    })
    child.on('exit', end)
    child.on('close', (code, signal) => resolve({ code, signal, late, output }))
  })
}

function environment(mode, more) {
  // Without the settings of `npm run`.
  const own = Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_OPTIONS$|NODE_ENV$)/i.test(name))
  const env = { ...Object.fromEntries(own), ...more }
  const preload = PRELOADS[mode]
  if (preload !== null) {
    const file = path.join(__dirname, 'preload', preload).replace(/[\\"]/g, '\\$&')
    env.NODE_OPTIONS = `--require "${file}"`
  }
  return env
}

module.exports = { run }
