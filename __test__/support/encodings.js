'use strict'

const { execFileSync } = require('node:child_process')
const { createHash } = require('node:crypto')
const zlib = require('node:zlib')
const { missing, nodes } = require('./nodes.js')

/** The value of `Content-Encoding`, and how to encode a body. A Node that supports zstd makes zstd. */
const encodings = {
  gzip: { name: 'gzip', encode: zlib.gzipSync },
  'gzip by its old name': { name: 'X-GZIP', encode: zlib.gzipSync },
  'gzip in two members': {
    name: 'gzip',
    encode: body => Buffer.concat(halves(body).map(half => zlib.gzipSync(half)))
  },
  deflate: { name: 'deflate', encode: zlib.deflateSync },
  'deflate without a header': { name: 'deflate', encode: zlib.deflateRawSync },
  br: {
    name: 'br',
    encode: body => zlib.brotliCompressSync(body, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } })
  },
  zstd: { name: 'zstd', encode: zstd }
}

function halves(body) {
  return [body.subarray(0, body.length >> 1), body.subarray(body.length >> 1)]
}

function zstd(body, params = {}) {
  if (zlib.zstdCompressSync !== undefined) return zlib.zstdCompressSync(body, { params })
  const code = `
    const zlib = require('node:zlib')
    const input = []
    process.stdin.on('data', piece => input.push(piece))
    process.stdin.on('end', () => process.stdout.write(
      zlib.zstdCompressSync(Buffer.concat(input), { params: ${JSON.stringify(params)} })))`
  return execFileSync(zstdNode().path, ['-e', code], { input: body, maxBuffer: 2 ** 30 })
}

function zstdNode() {
  return nodes.find(({ version }) => Number.parseInt(version, 10) >= 24)
}

/** False, after the test was skipped, if no Node supports zstd. */
function needZstd(t) {
  if (zlib.zstdCompressSync !== undefined || zstdNode() !== undefined) return true
  missing(t, 'no Node that can make zstd: run scripts/node-versions.sh')
  return false
}

/** zstd by hand: a frame with a window of `bits` and these blocks. A block is its bytes, or `[byte, times]`. */
function zstdFrame(bits, blocks) {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (bits - 10) << 3])]
  blocks.forEach((block, i) => {
    const repeated = Array.isArray(block)
    const size = repeated ? block[1] : block.length
    const head = Buffer.alloc(3)
    head.writeUIntLE((size << 3) | (repeated ? 2 : 0) | (i === blocks.length - 1 ? 1 : 0), 0, 3)
    parts.push(head, repeated ? Buffer.from([block[0]]) : block)
  })
  return Buffer.concat(parts)
}

const ZSTD_BLOCK = 2 ** 17

/** Zeros, compressed as far as possible. */
const bombs = {
  gzip: size => zlib.gzipSync(Buffer.alloc(size), { level: 9 }),
  deflate: size => zlib.deflateSync(Buffer.alloc(size), { level: 9 }),
  br: size => zlib.brotliCompressSync(Buffer.alloc(size), { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 5 } }),
  zstd: size => zstdFrame(23, Array(Math.ceil(size / ZSTD_BLOCK)).fill([0, ZSTD_BLOCK]))
}

/** Noise, stretches of one byte, and words: bodies that compress differently well. */
function content(next, most) {
  const parts = []
  const count = 1 + Math.floor(next() * 5)
  for (let i = 0; i < count; i++) {
    const size = Math.floor((next() * most) / count)
    const kind = next()
    if (kind < 0.4) parts.push(Buffer.from(Array.from({ length: size }, () => Math.floor(next() * 256))))
    else if (kind < 0.6) parts.push(Buffer.alloc(size, Math.floor(next() * 256)))
    else parts.push(Buffer.alloc(size, `some words ${Math.floor(next() * 1e9)} again `))
  }
  return Buffer.concat(parts)
}

/** Responds with a description of the received data, by which the test compares it. */
function seen(res, data) {
  res.json(seal(data))
}

function seal(data) {
  return { length: data.length, digest: createHash('sha256').update(data).digest('hex') }
}

module.exports = { encodings, content, seen, seal, needZstd, zstd, zstdFrame, bombs }
