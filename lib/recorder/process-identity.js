'use strict'

/*
 * The identity of this process. It decides which records it shares metrics with, and whose death it reports. Two
 * processes belong to one service if they have the same name and were started from the same script.
 *
 * The script is the one that the user started, not a wrapper (PM2, a tool in node_modules). It is identified by its
 * path within its package, so that the next release in another folder is the same service. Without a named package it
 * is identified by its whole path.
 */

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')
const { workingDirectory } = require('../core/working-directory.js')

const NAME_MAX = 64
/** PM2 runs an app's script from its own script, and provides the app's path. */
const PM2 = /^ProcessContainer\w*\.js$/
const MODULES = `${path.sep}node_modules${path.sep}`

let known = null

/** `{ name, script, entry }`: the default name, the started script, and its form for comparisons. */
function identity() {
  known ??= find(process.argv[1], process.env)
  return known
}

function find(started, env) {
  const script = startedBy(started, env)
  // `/` if the working directory was deleted.
  const cwd = workingDirectory() ?? path.sep
  const file = script === undefined ? undefined : resolved(script, cwd)
  const found = packageOf(file === undefined ? path.join(cwd, 'x') : file)
  if (found === null) return { name: cut(path.basename(cwd)), script: script ?? '', entry: file ?? cwd }
  return {
    name: cut(found.name),
    script: script ?? '',
    entry: file === undefined ? '' : path.relative(found.folder, file)
  }
}

function startedBy(started, env) {
  const wrapped = started !== undefined && PM2.test(path.basename(started)) && env.pm_exec_path
  return wrapped ? env.pm_exec_path : started
}

/** The real file: `node .`, `node server` and `node current/server.js` may all be the same. */
function resolved(script, cwd) {
  const file = path.resolve(cwd, script)
  try {
    return createRequire(file).resolve(file)
  } catch {
    return file
  }
}

/**
 * The nearest package with a name. For a tool in node_modules it is the package that uses the tool, if there is one.
 */
function packageOf(file) {
  const inside = file.indexOf(MODULES)
  const user = inside === -1 ? null : above(file.slice(0, inside))
  return user ?? above(path.dirname(file))
}

function above(from) {
  for (let folder = from; ; folder = path.dirname(folder)) {
    const name = nameIn(folder)
    if (name !== null) return { name, folder }
    if (folder === path.dirname(folder)) return null
  }
}

function nameIn(folder) {
  try {
    const { name } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
    return typeof name === 'string' && name !== '' ? name : null
  } catch {
    // The file is missing, unreadable, or not JSON.
    return null
  }
}

function cut(name) {
  let end = name
  while (Buffer.byteLength(end) > NAME_MAX) end = end.slice(0, -1)
  return end === '' ? 'app' : end
}

module.exports = { identity, find }
