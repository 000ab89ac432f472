'use strict'

const fs = require('node:fs')
const path = require('node:path')

/*
 * The recorded tables of docs/benchmarks.md. They are between two markers, and each has its own pair of markers.
 *
 *   <!-- bench -->
 *   <!-- bench:spans 20 -->
 *   …
 *   <!-- /bench:spans 20 -->
 *   <!-- /bench -->
 */

const DOCUMENT = path.join(__dirname, '..', '..', 'docs', 'benchmarks.md')
/** In the order of the document. bench/heap/run.js writes `heap`, and bench/run.js all others. */
const SECTIONS = [
  'throughput',
  'sockets',
  'inprocess',
  'spans',
  'watch',
  'leaks',
  'calls',
  'growth',
  'shed',
  'uploads',
  'snapshot',
  'heap'
]
const ALL = /(<!-- bench -->\n)([\s\S]*?)(<!-- \/bench -->)/
const ONE = /<!-- (bench:(\w+) (\d+)) -->\n([\s\S]*?)\n<!-- \/\1 -->/g

/** Whether a document has the markers for recorded tables. */
function isWritable(document) {
  return ALL.test(document)
}

/**
 * The document with these sections, `{ name, node, text }`. Each replaces the section of the same name and major version
 * of Node. They are sorted by the order of `names`, then by Node.
 */
function record(document, sections, names) {
  return document.replace(ALL, (_, begin, before, end) => {
    const all = new Map()
    for (const { 2: name, 3: major, 4: text } of before.matchAll(ONE)) all.set(`${name} ${major}`, text)
    for (const { name, node, text } of sections) all.set(`${name} ${Number.parseInt(node.replace(/^v/, ''), 10)}`, text)
    const rank = key => names.indexOf(key.split(' ')[0]) * 1000 + Number(key.split(' ')[1])
    const sorted = [...all].sort(([a], [b]) => rank(a) - rank(b))
    return (
      begin + sorted.map(([key, text]) => `<!-- bench:${key} -->\n${text}\n<!-- /bench:${key} -->\n`).join('\n') + end
    )
  })
}

/** Whether docs/benchmarks.md has the markers for recorded tables. */
function hasMarkers() {
  return isWritable(fs.readFileSync(DOCUMENT, 'utf8'))
}

/** Records the parts of one section in docs/benchmarks.md. */
function write(name, node, parts) {
  const text = parts.filter(part => part !== '').join('\n\n')
  fs.writeFileSync(DOCUMENT, record(fs.readFileSync(DOCUMENT, 'utf8'), [{ name, node, text }], SECTIONS))
}

module.exports = { DOCUMENT, SECTIONS, hasMarkers, isWritable, record, write }
