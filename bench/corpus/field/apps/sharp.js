'use strict'

/* Images of many sizes fragment the memory of glibc. The process grows, but no object leaks. */

const sharp = require('sharp')

exports.report = 'lovell/sharp#955, #2607'
exports.packages = { sharp: '0.33.5' }
exports.expected = { routes: [], holder: null, addedBy: null }
exports.paths = [
  ['GET', '/thumbnails/:n'],
  ['GET', '/health']
]
exports.rate = 30

exports.healthy = app => {
  const images = [600, 900, 1300].map(size =>
    sharp({ create: { width: size, height: size, channels: 3, background: '#48a' } })
      .jpeg()
      .toBuffer()
  )
  app.get('/thumbnails/:id', async (req, res) => {
    const id = Number(req.params.id)
    const image = await images[id % images.length]
    const size = 100 + ((id * 37) % 400)
    res.type('jpeg').send(await sharp(image).resize(size, size).jpeg().toBuffer())
  })
  app.get('/health', (_req, res) => res.send('ok'))
}
