'use strict'

// A Markdown table with aligned columns: the first to the left, the others to the right.
function table(head, rows) {
  const cells = [head, ...rows].map(row => row.map(String))
  const widths = head.map((_, column) => Math.max(3, ...cells.map(row => row[column].length)))
  const line = row =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join(' | ')} |`
  const rule = `| ${widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join('\n')
}

// toFixed() returns '-0.0' for a small negative number.
function fixed(value, digits) {
  const text = value.toFixed(digits)
  return Number(text) === 0 ? (0).toFixed(digits) : text
}

function grouped(value, digits = 0) {
  const [whole, fraction] = fixed(value, digits).split('.')
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, ',')
  return fraction ? `${spaced}.${fraction}` : spaced
}

function spread({ median, min, max }, digits) {
  return `${grouped(median, digits)} (${grouped(min, digits)} to ${grouped(max, digits)})`
}

function counted(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`
}

module.exports = { counted, fixed, grouped, spread, table }
