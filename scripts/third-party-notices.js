'use strict'

// npm run notices [-- --check]
//
// Writes THIRD-PARTY-NOTICES: the licence texts of all code that is linked into the addon, on any platform. It reads
// the texts from the sources of the crates in cargo's registry.
//
// --check writes nothing. It fails if the file is out of date.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const root = path.join(__dirname, '..')
const file = path.join(root, 'THIRD-PARTY-NOTICES')

/** In order of preference: the first one that a crate offers is used. A crate that offers none of them is an error. */
const ACCEPTED = [
  'MIT',
  'MIT-0',
  '0BSD',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'Zlib',
  'ISC',
  'Unicode-3.0',
  'Unlicense',
  'CC0-1.0',
  'BSL-1.0',
  'Apache-2.0'
]
/** C code in a crate, with its own licence. */
const VENDORED = {
  'tikv-jemalloc-sys': [{ name: 'jemalloc', license: 'BSD-2-Clause', file: 'jemalloc/COPYING' }],
  'zstd-sys': [{ name: 'zstd', license: 'BSD-3-Clause', file: 'zstd/LICENSE' }]
}
/** Crates without a licence file, and a crate of the same repository that has it. */
const NEIGHBOURS = { 'alloc-stdlib': 'alloc-no-stdlib' }
const LICENSE_FILE = /^(licen[cs]e|copying|unlicense|notice|copyright)/i
/** Which licence a file contains, by its name. */
const NAMED = {
  MIT: /mit/i,
  'Apache-2.0': /apache/i,
  Zlib: /zlib/i,
  'BSD-3-Clause': /bsd/i,
  '0BSD': /0bsd/i,
  Unlicense: /unlicense/i,
  'BSL-1.0': /boost/i
}

const RULE = '-'.repeat(100)

main()

function main() {
  const text = render(linked())
  if (!process.argv.includes('--check')) return fs.writeFileSync(file, text)
  const committed = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
  if (committed === text) return
  console.error('THIRD-PARTY-NOTICES is out of date: run npm run notices and commit the file')
  process.exitCode = 1
}

/** The packages that are linked into the addon. Build dependencies and procedural macros are not. */
function linked() {
  const args = ['metadata', '--format-version', '1', '--locked']
  const { packages, resolve } = JSON.parse(
    execFileSync('cargo', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  )
  const packageOf = new Map(packages.map(each => [each.id, each]))
  const nodeOf = new Map(resolve.nodes.map(each => [each.id, each]))
  const found = new Set()
  const visit = id => {
    for (const { pkg, dep_kinds: kinds } of nodeOf.get(id).deps) {
      const isMacro = packageOf.get(pkg).targets.some(target => target.kind.includes('proc-macro'))
      if (found.has(pkg) || isMacro || !kinds.some(({ kind }) => kind === null)) continue
      found.add(pkg)
      visit(pkg)
    }
  }
  visit(resolve.root)
  // A crate of this repository has no `source`, and has the licence of the repository.
  const foreign = [...found].map(id => packageOf.get(id)).filter(each => each.source !== null)
  return foreign.sort((a, b) => compare(a.name, b.name) || compare(a.version, b.version))
}

function compare(a, b) {
  return a < b ? -1 : Number(a > b)
}

/** Packages with the same text share one section. */
function render(packages) {
  const texts = new Map()
  for (const { title, text } of packages.flatMap(crate => partsOf(crate, packages))) {
    if (!texts.has(text)) texts.set(text, [])
    texts.get(text).push(title)
  }
  const head = [
    'Plimsoll is under the MIT license: see LICENSE. Its native code contains the software below, whose licenses ask for these notices.',
    'The Rust standard library is in it too, under the MIT license: https://www.rust-lang.org/policies/licenses',
    'Made by npm run notices.'
  ]
  const sections = [...texts].map(([text, titles]) => `${RULE}\n${titles.join('\n')}\n${RULE}\n\n${text}\n`)
  return `${head.join('\n')}\n\n${sections.join('\n')}`
}

function partsOf(crate, crates) {
  const folder = path.dirname(crate.manifest_path)
  const chosen = choice(crate)
  const own = licenseFiles(folder, chosen).map(text => ({ title: `${crate.name} ${crate.version} (${chosen})`, text }))
  if (own.length === 0)
    own.push({ title: `${crate.name} ${crate.version} (${chosen})`, text: withoutFile(crate, chosen, crates) })
  const vendored = (VENDORED[crate.name] ?? []).map(({ name, license, file }) => ({
    title: `${name}, in ${crate.name} ${crate.version} (${license})`,
    text: tidy(fs.readFileSync(path.join(folder, file), 'utf8'))
  }))
  return [...own, ...vendored]
}

/** The licence under which the addon uses a crate. With `AND`, all parts apply. */
function choice({ name, license }) {
  const all = (license ?? '').split(/\s+AND\s+/).map(part => {
    const offered = part
      .replace(/[()]/g, '')
      .split(/\s+OR\s+|\//)
      .map(each => each.trim())
    return ACCEPTED.find(accepted => offered.includes(accepted))
  })
  if (all.includes(undefined))
    throw new Error(`${name} has the licence ${license}, which is not in ACCEPTED of scripts/third-party-notices.js`)
  return all.join(' AND ')
}

/** The texts of the chosen licence. If no file name matches it, those of the files that name no licence, or of all. */
function licenseFiles(folder, chosen) {
  const names = fs
    .readdirSync(folder)
    .filter(name => LICENSE_FILE.test(name) && fs.statSync(path.join(folder, name)).isFile())
  const patterns = chosen.split(' AND ').map(license => NAMED[license])
  const right = names.filter(name => patterns.some(pattern => pattern?.test(name)))
  const others = names.filter(name => !Object.values(NAMED).some(pattern => pattern.test(name)))
  const wanted = right.length > 0 ? right : others.length > 0 ? others : names
  return wanted.sort(compare).map(name => tidy(fs.readFileSync(path.join(folder, name), 'utf8')))
}

/** The text for a crate without a file: that of its neighbour, or the MIT licence with the authors in its manifest. */
function withoutFile({ name, authors }, chosen, crates) {
  const neighbour = crates.find(crate => crate.name === NEIGHBOURS[name])
  if (neighbour !== undefined) return licenseFiles(path.dirname(neighbour.manifest_path), chosen).join('\n\n')
  if (chosen !== 'MIT')
    throw new Error(`${name} has no licence file: add it to NEIGHBOURS in scripts/third-party-notices.js`)
  const own = fs.readFileSync(path.join(root, 'LICENSE'), 'utf8')
  return tidy(own.replace(/^Copyright .*$/m, `Copyright (c) ${authors.join(', ') || `the authors of ${name}`}`))
}

function tidy(text) {
  const lines = text.replaceAll('\r\n', '\n').split('\n')
  return lines
    .map(line => line.trimEnd())
    .join('\n')
    .trim()
}
