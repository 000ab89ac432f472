'use strict'

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')

const ROOT = path.join(__dirname, '..', '..')

function describe(node) {
  return {
    at: new Date().toISOString(),
    node: execFileSync(node, ['-p', 'process.version'], { encoding: 'utf8' }).trim(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.cpus().length,
    memoryBytes: os.totalmem(),
    kernel: `${os.type()} ${os.release()}`,
    load: os.loadavg()
  }
}

const loads = load => load.map(value => value.toFixed(2)).join(', ')

function render(machine, loadAfter) {
  const { at, node, cpu, cores, memoryBytes, kernel, load } = machine
  return (
    `Node ${node}, ${cpu}, ${cores} cores, ${Math.round(memoryBytes / 2 ** 30)} GiB, ${kernel}, ${at}; ` +
    `load average ${loads(load)} before and ${loads(loadAfter)} after.`
  )
}

function addonFile() {
  if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH) return process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  const name = fs.readdirSync(ROOT).find(file => file.endsWith('.node'))
  return name && path.join(ROOT, name)
}

// Whether it is a debug build: release builds are stripped. It searches only the names of the sections, since the code
// for Rust's backtraces also contains '.debug_line'.
function hasDebugSections(file) {
  const elf = fs.readFileSync(file)
  const sections = Number(elf.readBigUInt64LE(0x28))
  const names = sections + elf.readUInt16LE(0x3e) * elf.readUInt16LE(0x3a)
  const start = Number(elf.readBigUInt64LE(names + 0x18))
  return elf.subarray(start, start + Number(elf.readBigUInt64LE(names + 0x20))).includes('.debug_line')
}

// Whether the addon is missing, and whether it is a debug build.
function addon() {
  const file = addonFile()
  if (!file || !fs.existsSync(path.join(ROOT, 'binding.js'))) return { missing: true, debug: false }
  return { missing: false, debug: hasDebugSections(file) }
}

module.exports = { addon, describe, render }
