'use strict'

// npm run build [-- options of `napi build`]
//
// Builds the addon for this machine, as `npm install` does. Two environment variables choose another build:
//
//   PLIMSOLL_PROFILE=ci   a profile of Cargo.toml (default: release). `ci` takes half the time of a release.
//   PLIMSOLL_PORTABLE=1   the binary for distribution, see scripts/build-portable.sh (Linux with glibc only)

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const profile = process.env.PLIMSOLL_PROFILE || 'release'
const given = process.argv.slice(2)

if (process.env.PLIMSOLL_PORTABLE === '1') {
  run(path.join(__dirname, 'build-portable.sh'), given)
  install(path.join(root, 'target', 'portable'))
} else {
  const cli = path.join(root, 'node_modules/@napi-rs/cli/dist/cli.js')
  const fixed = ['build', '--platform', '--profile', profile, '--js', 'binding.js', '--dts', 'binding.d.ts']
  run(process.execPath, [cli, ...fixed, ...given])
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** Renames instead of copying over the old file: a process that has the old file mapped would crash. */
function install(folder) {
  const binary = fs.readdirSync(folder).find(name => name.endsWith('.node'))
  for (const name of [binary, 'binding.js', 'binding.d.ts']) {
    const fresh = path.join(root, `${name}.${process.pid}`)
    fs.copyFileSync(path.join(folder, name), fresh)
    fs.renameSync(fresh, path.join(root, name))
  }
}
