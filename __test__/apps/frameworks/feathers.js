'use strict'

/* Feathers on Express: its services are not routes of Express, so a middleware names them. */

const { feathers } = require('@feathersjs/feathers')
const express = require('@feathersjs/express')
const { NotFound } = require('@feathersjs/errors')
const front = require('./front.js')
const serve = require('./serve.js')
const plimsoll = require('../../..')

class Messages {
  messages = [{ id: 0, text: 'hello' }]

  async find({ query }) {
    return this.messages.filter(({ text }) => query.text === undefined || text === query.text)
  }
  async get(id) {
    await new Promise(resolve => setImmediate(resolve))
    const found = this.messages[Number(id)]
    if (found === undefined) throw new NotFound(`no message ${id}`)
    return found
  }
  async create({ text }) {
    const message = { id: this.messages.length, text }
    this.messages.push(message)
    return message
  }
  async patch(id, data) {
    return Object.assign(await this.get(id), data)
  }
  async remove(id) {
    const [removed] = this.messages.splice(Number(id), 1)
    return removed
  }
}

async function main() {
  const app = express(feathers())
  for (const middleware of front) app.use(middleware)
  if (front.length > 0) app.get('/metrics', plimsoll.metrics())
  app.use(express.json())
  app.use(express.urlencoded({ extended: true }))
  if (front.length > 0)
    app.use((req, _res, next) => {
      const found = app.lookup(req.path)
      if (found !== null) plimsoll.route(req, `${req.method} /messages${found.params.__id === undefined ? '' : '/:id'}`)
      next()
    })
  app.configure(express.rest())
  app.use('/messages', new Messages())
  app.service('messages').hooks({
    around: {
      all: [
        async (context, next) => {
          await next()
          if (Array.isArray(context.result)) context.http.headers = { 'x-total': String(context.result.length) }
        }
      ]
    }
  })
  app.get('/plain/:id', (req, res) => res.json({ id: req.params.id }))
  app.use(express.notFound())
  app.use(express.errorHandler({ logger: false, html: false }))
  serve(await app.listen(0, '127.0.0.1'))
}
main()
