'use strict'

exports.mechanism = 'large transient buffers'
exports.about = `
  Each request takes 2 MB outside the heap for a moment. RSS and external memory are a saw, as high as the collector lets it become, and malloc keeps some of it for the
  next time: none of it lives.`
exports.route = 'GET /thumbnails/:id'
exports.load = { requests: 3000 }

exports.healthy = app => {
  app.get('/thumbnails/:id', (req, res) => {
    const pixels = Buffer.alloc(2 * 1024 * 1024, Number(req.params.id) % 256)
    setImmediate(() => res.end(pixels.subarray(0, 1000)))
  })
}
