'use strict'

// Arguments: `summary` and a file. Output: a JSON line. This parser has no diff.

const fs = require('node:fs')
const { createRequire } = require('node:module')
const path = require('node:path')

const { decode_bytes } = createRequire(path.join(__dirname, '..', 'peers', 'package.json'))('@vscode/v8-heap-parser')

const graph = decode_bytes(fs.readFileSync(process.argv[3]))
const groups = graph.get_class_groups(0, 1_000_000, false)
const sessions = groups.find(group => group.name() === 'Session')
process.stdout.write(`${JSON.stringify({ classes: groups.length, sessions: sessions.children_len })}\n`)
