'use strict'

/* The demo's table: plain text from `plimsoll.stats()`. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB']

function bytes(value) {
  const unit = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, value)) / 10)))
  return `${(value / 1024 ** unit).toFixed(unit === 0 ? 0 : 1)} ${UNITS[unit]}`
}

function ms(value) {
  return value < 10 ? `${value.toFixed(2)} ms` : `${value.toFixed(0)} ms`
}

const COLUMNS = [
  ['route', row => `${row.method} ${row.route}`],
  ['status', row => row.status],
  ['count', row => String(row.count)],
  ['aborted', row => String(row.aborted)],
  ['refused', row => String(row.limited)],
  ['p50', row => ms(row.durationMs.p50)],
  ['p99', row => ms(row.durationMs.p99)],
  ['heap a request', row => bytes(row.heapBytes.mean)],
  ['body a request', row => bytes(row.bodyBytes.mean)]
]

/** Routes by the heap bytes that they allocated in total, largest first. */
function table({ routes, requests, heap, rssBytes }) {
  const rows = [...routes].sort((a, b) => b.heapBytes.sum - a.heapBytes.sum)
  const cells = [COLUMNS.map(([title]) => title), ...rows.map(row => COLUMNS.map(([, cell]) => cell(row)))]
  const widths = COLUMNS.map((_, column) => Math.max(...cells.map(row => row[column].length)))
  const lines = cells.map(row =>
    row.map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join('  ')
  )
  const head = `requests ${requests.total}, in flight ${requests.inFlight}, refused ${requests.limited}   RSS ${bytes(rssBytes)}   heap ${bytes(heap.usedBytes)}`
  const source = heap.exact ? 'exact' : `not exact: ${heap.reason}`
  const allocated = `allocated ${bytes(heap.allocatedBytes)} (${source}): by requests ${bytes(heap.attributedBytes)}, by other code ${bytes(heap.unattributedBytes)}`
  return [head, allocated, '', ...lines].join('\n')
}

const STATES = {
  learning: 'The heap is being watched',
  steady: 'The heap does not grow with requests',
  uncertain: 'The heap may grow with requests'
}

/** The leak, or the progress of the search for one. */
function leak({ findings, trend }) {
  const found = findings.find(({ kind, withdrawnAt }) => kind === 'leak' && withdrawnAt === null)
  if (found !== undefined) return `LEAK: ${found.advice}`
  if (trend.heap === null) return 'Leaks cannot be detected: Plimsoll cannot measure the heap of this V8.'
  const { state, progress } = trend.heap
  const eta = progress.etaMs === null ? '' : `; verdict in about ${Math.ceil(progress.etaMs / 1000)} s`
  return `${STATES[state] ?? state} (${progress.collections} of ${progress.ofCollections} collections${eta}).`
}

function footer({ recorder }) {
  return recorder.path === null
    ? 'The record was only in memory: no folder is writable.'
    : `The record: ${recorder.path}\nRead it with: npx plimsoll show ${recorder.path}`
}

module.exports = { leak, table, footer }
