'use strict'

/* The shop of the README, without plimsoll: one of its routes retains a user of each request. */

const express = require('express')
const users = require('./src/users.js')

const app = express()
app.get('/users/:id', async (req, res) => {
  const user = await users.getUser(req.params.id)
  res.json(user.name)
})
app.get('/articles', (_req, res) => res.json([{ id: 1 }]))

module.exports = app
