'use strict'

exports.mechanism = 'an object of exactly known size a request'
exports.about = `
  It tests tools that report bytes per request: 4,184 bytes on 64 bits without pointer compression. A \`Link\` has a header of three words
  and two properties. Its array has four words, and the elements two words and 512 doubles. The objects form a chain, so nothing else grows.`
exports.route = 'GET /exact'
exports.expected = {
  leak: true,
  class: 'Link',
  holder: 'newest',
  bytesPerRequest: 3 * 8 + 2 * 8 + 4 * 8 + 2 * 8 + 512 * 8
}

class Link {
  // allocation
  constructor(before) {
    this.before = before
    this.doubles = new Array(512).fill(0.5)
  }
}

let newest = null

exports.leaky = app => {
  // handler
  app.get('/exact', (_req, res) => {
    newest = new Link(newest) // leak
    res.end()
  })
}

exports.healthy = app => {
  app.get('/exact', (_req, res) => {
    newest = new Link(null)
    res.end()
  })
}
