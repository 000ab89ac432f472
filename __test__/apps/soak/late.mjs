/* A start script: an ESM module that listens late and by itself, prints much, and handles signals. */

import http from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

console.log(`started with ${process.argv.slice(2).join(' ')}, ${process.env.SHOP}`)
process.on('SIGTERM', () => {
  console.log('shutting down')
  process.exit(0)
})

const list = []
await pause(600)
const server = http.createServer((req, res) => {
  const url = new URL(req.url, 'http://localhost')
  if (url.pathname === '/crash') {
    list.push(req.url)
    if (list.length > 60) {
      console.error('cannot go on')
      process.exit(7)
    }
  }
  if (url.pathname === '/mortal' && list.push(new Array(25_000).fill(0.5)) > 600) process.exit(9)
  if (url.pathname === '/slow' && list.push(req.url) > 20) return
  if (url.pathname === '/half') return res.write('half')
  res.end(`${process.argv.slice(2)} ${process.env.SHOP}`)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
