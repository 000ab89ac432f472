'use strict'

/*
 * node-memwatch's rule: after each full collection the used heap is compared with that after the one before; five growths in a row are a
 * leak, and one that is none begins anew. https://github.com/lloyd/node-memwatch (src/memwatch.cc); its version 3 has no such rule any more.
 */

const IN_A_ROW = 5

/** `heap`: used bytes after each full collection. */
function memwatch(heap) {
  let row = 0
  return heap.some((bytes, i) => {
    row = i > 0 && bytes > heap[i - 1] ? row + 1 : 0
    return row >= IN_A_ROW
  })
}

module.exports = { memwatch }
