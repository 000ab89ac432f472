'use strict'

// The README's programs and outputs, in a form that a test can run and compare.

const { readFileSync } = require('node:fs')

/** The fenced blocks of a document: `{ language, text, line }`. */
function blocksOf(document) {
  const source = readFileSync(document, 'utf8')
  return [...source.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(({ 1: language, 2: text, index }) => ({
    language,
    text,
    line: source.slice(0, index).split('\n').length
  }))
}

/** An output without what differs from run to run: figures, sizes, times, line breaks. */
function shapeOf(output) {
  return (
    output
      .replaceAll(/─+/g, '─')
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/g, '<date>')
      .replaceAll(/\b\d\d:\d\d\b/g, '<clock>')
      .replaceAll(/@\d+/g, '@<id>')
      // The heap's last figure before the end is from a collection, or from a tick.
      .replaceAll(/after its last mark-sweep|when last read/g, '<when>')
      // If V8 has inlined the constructor, its allocations are its caller's.
      .replaceAll(/:\d+ \((getUser|User)\)/g, ':<line> (<function>)')
      .replaceAll(/users\.js:\d+/g, 'users.js:<line>')
      .replaceAll(/-?\d[\d,]*(\.\d+)?/g, '<n>')
      .replaceAll(/\s+/g, ' ')
      .replaceAll(/<n> (h|min|s|ms)\b( <n> (min|s|ms)\b)*/g, '<time>')
      .replaceAll(/<n> ([KMG]iB|B)\b/g, '<size>')
  )
}

/** The parts of an example (`…` is what it omits) that are not in an output, in their order. */
function missingFrom(output, example) {
  const shape = shapeOf(output)
  let from = 0
  return example
    .split('…')
    .map(part => shapeOf(part).trim())
    .filter(part => {
      const at = shape.indexOf(part, from)
      if (at !== -1) from = at + part.length
      return at === -1
    })
}

module.exports = { blocksOf, missingFrom }
