'use strict'

/*
 * The rule of node-memwatch: a leak is a heap that has grown five times in a row, measured after each full collection.
 * https://github.com/lloyd/node-memwatch (src/memwatch.cc). Its version 3 has no such rule.
 */

const IN_A_ROW = 5

/** Whether there is a leak. `heap`: used bytes after each full collection. */
function memwatch(heap) {
  let row = 0
  return heap.some((bytes, i) => {
    row = i > 0 && bytes > heap[i - 1] ? row + 1 : 0
    return row >= IN_A_ROW
  })
}

module.exports = { memwatch }
