'use strict'

const cache = new Map()

class Session {
  constructor(id) {
    this.user = `user ${id}`
    this.items = new Array(200).fill(id)
  }
}

exports.getUser = async function getUser(id) {
  await null
  const session = new Session(id)
  cache.set(cache.size, session)
  return session
}

/** The leaked objects stay. From now on nothing leaks. */
exports.stop = () => {
  cache.set = () => cache
}
