'use strict'

/* Functions for the benchmarks on the corpus: they run several apps at a time, and write tables into docs/corpus.md. */

const { execFileSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const { join } = require('node:path')

const FILE = join(__dirname, '..', '..', 'docs', 'corpus.md')

/** A positive integer. */
function count(name, text) {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} takes a positive integer, not '${text}'`)
  return number
}

/** `{ path, version }` of each binary. */
function nodesOf(paths) {
  return paths.map(path => ({
    path,
    version: execFileSync(path, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim()
  }))
}

/**
 * The cells of each app's row. Runs `jobs` apps at a time, and prints each row when it is complete. An error shows in the
 * row of its app.
 */
async function inParallel(apps, jobs, makeRow) {
  const rows = apps.map(() => null)
  const queue = apps.map((app, i) => ({ app, i }))
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      rows[next.i] = await makeRow(next.app).catch(error => {
        process.exitCode = 1
        return [next.app.name, `**failed**: ${error.message}`]
      })
      process.stderr.write(`${rows[next.i].join(' | ')}\n`)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return rows
}

/** A Markdown table. */
function markdown(titles, rows) {
  return [titles, titles.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')
}

/** Replaces the section of the same major version of Node, between the markers with the name `marker`. */
function replaceSection(marker, text) {
  const between = new RegExp(`(<!-- ${marker} -->\\n)([\\s\\S]*)(<!-- /${marker} -->)`)
  const major = section => Number.parseInt(section.replace('Node ', ''), 10)
  const replaced = readFileSync(FILE, 'utf8').replace(between, (_, begin, before, end) => {
    const sections = [...before.split(/^## /m).slice(1), text.replace('## ', '')].map(section => section.trim())
    const latest = new Map(sections.map(section => [major(section), section]))
    const sorted = [...latest].sort(([a], [b]) => a - b).map(([, section]) => `## ${section}\n`)
    return `${begin}\n${sorted.join('\n')}\n${end}`
  })
  writeFileSync(FILE, replaced)
}

module.exports = { count, nodesOf, inParallel, markdown, replaceSection }
