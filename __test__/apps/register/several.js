'use strict'

/* Servers in one process, in a worker thread and in a forked child. Prints the port of each. */

const { fork } = require('node:child_process')
const http = require('node:http')
const { Worker, isMainThread } = require('node:worker_threads')

const serve = name =>
  http
    .createServer((_req, res) => res.end(name))
    .listen(0, '127.0.0.1', function () {
      console.log(`listening ${this.address().port}`)
    })

if (!isMainThread) serve('thread')
else if (process.argv[2] === 'child') {
  serve('child')
  process.on('disconnect', () => process.exit())
} else {
  serve('first')
  serve('second')
  new Worker(__filename)
  fork(__filename, ['child'])
}
