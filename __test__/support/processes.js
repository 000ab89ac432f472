'use strict'

// What Linux reports of a process in /proc.

const { readFileSync, readdirSync, readlinkSync } = require('node:fs')

/** Child processes of any thread of this process. */
function childrenOf(pid) {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.flatMap(thread => {
    const children = unlessGone(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1'))
    return (children ?? '').split(' ').filter(Boolean).map(Number)
  })
}

/** The result of `read()`. Undefined if the thread or descriptor has gone since it was listed. */
function unlessGone(read) {
  try {
    return read()
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined
    throw error
  }
}

/**
 * A process's descriptors, `[number, target]` each, without those that are closed between the listing and the reading.
 */
function descriptorsOf(pid) {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).flatMap(fd => {
    const target = unlessGone(() => readlinkSync(`${folder}/${fd}`))
    return target === undefined ? [] : [[Number(fd), target]]
  })
}

module.exports = { childrenOf, descriptorsOf }
