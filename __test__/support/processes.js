'use strict'

// What Linux tells of a process in /proc.

const { readFileSync, readdirSync, readlinkSync } = require('node:fs')

/** Processes whose parent is this one. */
function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number)
}

/** A process's descriptors, `[number, what it leads to]` each, without those that are closed between the listing and the look. */
function descriptorsOf(pid) {
  const folder = `/proc/${pid}/fd`
  return readdirSync(folder).flatMap(fd => {
    try {
      return [[Number(fd), readlinkSync(`${folder}/${fd}`)]]
    } catch (error) {
      if (error.code === 'ENOENT') return []
      throw error
    }
  })
}

module.exports = { childrenOf, descriptorsOf }
