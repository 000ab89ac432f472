'use strict'

const fs = require('node:fs')
const { join } = require('node:path')

const root = join(__dirname, '..', '..')
const modules = join(root, 'node_modules')
/** The parts of the package that run. */
const PARTS = ['index.js', 'register.js', 'package.json', 'lib', 'bin', 'binding.js']

/**
 * Installs a copy of plimsoll as `<folder>/node_modules/plimsoll`, with another version if one is given. Returns its
 * path.
 */
function install(folder, version) {
  const target = join(folder, 'node_modules', 'plimsoll')
  fs.mkdirSync(target, { recursive: true })
  for (const part of PARTS) fs.cpSync(join(root, part), join(target, part), { recursive: true })
  for (const addon of fs.readdirSync(root).filter(name => name.endsWith('.node')))
    fs.copyFileSync(join(root, addon), join(target, addon), fs.constants.COPYFILE_FICLONE)
  link(folder, 'http-errors')
  if (version !== undefined) {
    const file = join(target, 'package.json')
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file, 'utf8')), version }))
  }
  return target
}

/** Links modules of this repository into `folder`. */
function link(folder, ...names) {
  for (const name of names) {
    const target = join(folder, 'node_modules', name)
    if (!fs.existsSync(target)) fs.symlinkSync(join(modules, name), target, 'junction')
  }
}

module.exports = { install, link }
