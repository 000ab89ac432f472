'use strict'

/** Origins of leaks outside of the heap. */
const OUTSIDE_HEAP = /^\((external|native) memory\)$/

/** Findings or messages that report a leak of the heap. */
function heapLeaks(findings) {
  return findings.filter(({ kind, origin }) => kind === 'leak' && !OUTSIDE_HEAP.test(origin ?? ''))
}

/** The first of them. */
function heapLeak(findings) {
  return heapLeaks(findings)[0]
}

module.exports = { heapLeak, heapLeaks }
