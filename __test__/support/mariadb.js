'use strict'

const { execFileSync, spawn, spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { chmodSync, existsSync, mkdtempSync, rmSync } = require('node:fs')
const { tmpdir, userInfo } = require('node:os')
const { join } = require('node:path')
const { until } = require('./http.js')
const { missing } = require('./nodes.js')

/**
 * A MariaDB server of the test's own on a socket in a temporary folder. Returns options for mysql2, or `null` after the
 * test was skipped because it is not installed.
 */
async function mariadb(t) {
  const server = ['/usr/sbin/mariadbd', '/usr/bin/mariadbd', '/usr/local/bin/mariadbd'].find(existsSync)
  if (server === undefined || spawnSync('mariadb-install-db', ['--help']).error) {
    return missing(t, 'mariadb-server not installed: apt-get install mariadb-server') ?? null
  }
  const folder = mkdtempSync(join(tmpdir(), 'plimsoll-mariadb-'))
  chmodSync(folder, 0o755)
  const socketPath = join(folder, 'socket')
  const user = userInfo().username
  const common = ['--no-defaults', `--datadir=${join(folder, 'data')}`, `--user=${user}`]
  execFileSync('mariadb-install-db', [...common, '--auth-root-authentication-method=normal', '--skip-test-db'], {
    stdio: 'ignore'
  })
  const options = [`--socket=${socketPath}`, `--pid-file=${join(folder, 'pid')}`, '--skip-networking', '--skip-log-bin']
  const child = spawn(server, [...common, ...options, '--innodb-buffer-pool-size=16M'], {
    stdio: ['ignore', 'ignore', 'pipe']
  })
  let said = ''
  child.stderr.on('data', text => {
    said += text
  })
  const exited = once(child, 'exit')
  const kill = () => child.kill('SIGKILL')
  process.on('exit', kill)
  t.after(async () => {
    process.off('exit', kill)
    child.kill('SIGTERM')
    await exited
    rmSync(folder, { recursive: true, force: true })
  })
  await until(
    () => {
      if (child.exitCode !== null) throw new Error(`mariadbd did not start:\n${said}`)
      return said.includes('ready for connections')
    },
    'mariadbd ready',
    30_000
  )
  return { socketPath, user: 'root', password: '', database: 'mysql' }
}

module.exports = { mariadb }
