'use strict'

/*
 * The recorded tables of docs/benchmarks.md: those between two markers, of which each has a pair of markers of its own.
 *
 *   <!-- bench -->
 *   <!-- bench:spans 20 -->
 *   …
 *   <!-- /bench:spans 20 -->
 *   <!-- /bench -->
 */

const ALL = /(<!-- bench -->\n)([\s\S]*?)(<!-- \/bench -->)/
const ONE = /<!-- (bench:(\w+) (\d+)) -->\n([\s\S]*?)\n<!-- \/\1 -->/g

/** Whether a document has room for recorded tables. */
function isWritable(document) {
  return ALL.test(document)
}

/**
 * The document with these sections, `{ name, node, text }`: each replaces the one of the same name and major version of Node. Sorted by the order of
 * `names`, then by Node.
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

module.exports = { isWritable, record }
