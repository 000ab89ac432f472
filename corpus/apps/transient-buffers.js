'use strict'

exports.mechanism = 'large transient buffers'
exports.about = `
  Each request uses 2 MB outside the heap for a moment. RSS and external memory rise until the next
  collection and fall again, and malloc retains some memory for later use. None of it is reachable.`
exports.route = 'GET /thumbnails/:id'
exports.load = { requests: 3000 }

exports.healthy = app => {
  app.get('/thumbnails/:id', (req, res) => {
    const pixels = Buffer.alloc(2 * 1024 * 1024, Number(req.params.id) % 256)
    setImmediate(() => res.end(pixels.subarray(0, 1000)))
  })
}
