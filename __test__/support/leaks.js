'use strict'

/** Origins of leaks outside of the heap, and the classes of counts. */
const OUTSIDE_HEAP = /^\(/
const COUNTS = /^(file descriptors|timers|worker threads|child processes)$/

/** Findings or messages that report a leak of the heap. */
function heapLeaks(findings) {
  return findings.filter(
    ({ kind, origin, class: name }) => kind === 'leak' && !OUTSIDE_HEAP.test(origin ?? '') && !COUNTS.test(name ?? '')
  )
}

/** The first of them. */
function heapLeak(findings) {
  return heapLeaks(findings)[0]
}

module.exports = { heapLeak, heapLeaks }
