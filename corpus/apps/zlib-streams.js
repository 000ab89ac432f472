'use strict'

const zlib = require('node:zlib')

exports.mechanism = 'streams of zlib that are never closed'
exports.about = `
  Each device sends its log through a gzip stream, which is stored for the next message and never closed. The stream has 2 KB of JavaScript and 190 KB of
  native memory. The heap hardly grows, \`external\` shows a tenth of it, and the RSS grows until the process is killed. The healthy twin closes the stream.`
exports.reference = 'https://github.com/nodejs/node/issues/8871'
exports.route = 'POST /devices/:id/log'
exports.expected = { leak: true, class: 'Gzip', holder: 'encoders', where: 'native' }
exports.load = { requests: 600, body: id => `device ${id} is well\n`.repeat(20) }

const encoders = new Map()

async function compress(gzip, req) {
  for await (const chunk of req) gzip.write(chunk)
  await new Promise(resolve => gzip.flush(resolve))
}

exports.leaky = app => {
  // handler
  app.post('/devices/:id/log', async (req, res) => {
    const gzip = encoders.get(req.params.id) ?? zlib.createGzip()
    encoders.set(req.params.id, gzip.resume()) // leak
    await compress(gzip, req)
    res.status(202).end()
  })
}

exports.healthy = app => {
  app.post('/devices/:id/log', async (req, res) => {
    const gzip = zlib.createGzip().resume()
    res.on('close', () => gzip.close())
    await compress(gzip, req)
    res.status(202).end()
  })
}
