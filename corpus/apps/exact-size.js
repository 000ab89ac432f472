'use strict'

exports.mechanism = 'an object of exactly known size a request'
exports.about = `
  For tools that tell how many bytes a request keeps: this one keeps 4,184 on 64 bits without pointer compression, as V8 lays them out. A \`Link\` (a header of three
  words, and two properties), its array (four words) and its elements (two words, and 512 doubles). They are a chain, not a list: nothing else grows with them.`
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
