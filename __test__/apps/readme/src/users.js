'use strict'

const cache = new Map()

class User {
  constructor(id) {
    this.name = `user ${id}`
    this.items = new Array(800).fill(id)
  }
}

exports.getUser = async function getUser(id) {
  await null
  const user = new User(id)
  cache.set(cache.size, user)
  return user
}
