/* A start script: an ESM module that listens late and by itself, prints much, and handles signals. */

import { existsSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

console.log(`started with ${process.argv.slice(2).join(' ')}, ${process.env.SHOP}`)
process.on('SIGTERM', () => {
  console.log('shutting down')
  process.exit(0)
})

/** Whether this is not the first process that is given this file. */
function isAgain(file) {
  if (!file) return false
  const is = existsSync(file)
  writeFileSync(file, '')
  return is
}

if (isAgain(process.env.ONCE)) process.exit(5)
const most = isAgain(process.env.MORTAL) ? 60 : 600
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
  if (url.pathname === '/mortal' && list.push(new Array(25_000).fill(0.5)) > most) process.exit(9)
  if (url.pathname === '/slow' && list.push(req.url) > 20) return
  if (url.pathname === '/half') return res.write('half')
  res.end(`${process.argv.slice(2)} ${process.env.SHOP}`)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
