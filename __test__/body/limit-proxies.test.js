'use strict'

// In production the client is a proxy, and the proxy's client must receive the response: a 413, not a 502.

process.env.NODE_ENV = 'test'

const assert = require('node:assert/strict')
const { spawn } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')
const { start } = require('../support/child.js')
const { connect, until } = require('../support/http.js')
const { needs, withHttp, many } = require('../support/refused.js')

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-proxies-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))

const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
const proxies = {
  nginx: {
    settings: { 'request buffering on': 'on', 'request buffering off': 'off' },
    config: (port, socket, buffering) => `
      daemon off; master_process off; pid ${socket}.pid; error_log ${socket}.log warn;
      events { worker_connections 512; }
      http {
        access_log off; client_max_body_size 0;
        ${temporary.map(name => `${name}_temp_path ${socket}-${name};`).join(' ')}
        upstream app { server 127.0.0.1:${port}; keepalive 8; }
        server {
          listen unix:${socket};
          location / {
            proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_request_buffering ${buffering};
          }
        }
      }`,
    args: file => ['-e', `${file}.err`, '-c', file]
  },
  haproxy: {
    settings: { 'as it comes': '', 'http-buffer-request': 'option http-buffer-request' },
    config: (port, socket, buffering) => `
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  ${buffering}
frontend in
  bind unix@${socket}
  default_backend app
backend app
  server app 127.0.0.1:${port}
`,
    args: file => ['-db', '-f', file]
  }
}

async function proxied(t, name, port, setting) {
  const { config, args } = proxies[name]
  const socket = path.join(folder, `${name}-${setting.replace(/\W/g, '') || 'plain'}`)
  const file = `${socket}.conf`
  fs.writeFileSync(file, config(port, socket, setting))
  const proxy = spawn(name, args(file), { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [proxy.stdout, proxy.stderr]) {
    stream.on('data', text => {
      said += text
    })
  }
  t.after(async () => {
    const ended = once(proxy, 'exit')
    if (proxy.exitCode === null && proxy.kill('SIGKILL')) await ended
  })
  const listens = async () => {
    if (proxy.exitCode !== null) throw new Error(`${name} has ended: ${said}`)
    if (!fs.existsSync(socket)) return false
    return connect(undefined, { path: socket }).then(
      ({ socket }) => socket.destroy(),
      () => false
    )
  }
  await until(listens, `${name} listens`)
  return socket
}

for (const [name, { settings }] of Object.entries(proxies)) {
  for (const [how, setting] of Object.entries(settings)) {
    test(`through ${name}, ${how}: its client reads the 413`, needs(name), async t => {
      const child = await start('heard')
      t.after(() => child.stop())
      const socketPath = await proxied(t, name, child.port, setting)
      for (const declared of [true, false]) {
        const paths = ['/raw', '/multer', '/data', '/file']
        const answers = await many(40, 4, index =>
          withHttp({ socketPath, path: paths[index % 4], mebibytes: 10, declared })
        )
        const statuses = answers.map(({ status }) => status)
        assert.deepEqual(statuses, Array(40).fill(413), declared ? 'declared' : 'chunked')
      }
      await until(async () => (await child.ask('stats')).requests.inFlight === 0, 'no request is in flight')
    })
  }
}
