'use strict'

/*
 * Writes three snapshots to a folder: before a known leak, after it, and once more. Its arguments are the folder and
 * the size of the leak.
 */

const { join } = require('node:path')
const v8 = require('node:v8')
const users = require('./users.js')

const [folder, count] = process.argv.slice(2)
const snapshot = name => v8.writeHeapSnapshot(join(folder, `${name}.heapsnapshot`))

users.remember(10)
snapshot('before')
users.remember(Number(count))
// Garbage by the third snapshot: created in between like the leak, and released.
let temporary = Array.from({ length: 1000 }, (_, n) => new users.Passing(n))
snapshot('after')
temporary = temporary.length
snapshot('final')
