'use strict'

/** Where a leak is that is not the heap's: by which it is told where to look. */
const ELSEWHERE = /^\((external|native) memory\)$/

/** Of findings, or of messages: those that say that the heap leaks. */
function heapLeaks(findings) {
  return findings.filter(({ kind, origin }) => kind === 'leak' && !ELSEWHERE.test(origin ?? ''))
}

/** The first of them. */
function heapLeak(findings) {
  return heapLeaks(findings)[0]
}

module.exports = { heapLeak, heapLeaks }
