'use strict'

/*
 * Grows in one way on request, and reports where its memory is. With the path of the addon it grows outside of
 * JavaScript.
 */

const http = require('node:http')
const plimsoll = require('../..')
const listen = require('./support.js')

const native = { exports: {} }
if (process.argv[2]) process.dlopen(native, process.argv[2])

// What is allocated must stay.
const held = []
const failure = error => ({ name: error.name, message: error.message })

listen(http.createServer(plimsoll()), {
  heap(objects) {
    for (let i = 0; i < objects; i++) held.push({ number: i, list: [i, i, i] })
  },
  buffers({ count, bytes }) {
    for (let i = 0; i < count; i++) held.push(Buffer.alloc(bytes, 1))
  },
  untouched: bytes => held.push(Buffer.alloc(bytes)),
  allocate: ({ count, bytes }) => native.exports.allocate(count, bytes),
  fence: () => native.exports.fence(),
  punch: () => native.exports.punch(),
  clear: () => native.exports.clear(),
  map: path => native.exports.map(path),
  where: () => plimsoll.memory(),
  trim: () => plimsoll.trim().catch(failure),
  async trimTwice() {
    const [first, second] = [plimsoll.trim(), plimsoll.trim()]
    const same = first === second
    await first
    return { same, later: plimsoll.trim() !== first }
  }
})
