'use strict'

/*
 * Runs leaks of real libraries with Plimsoll and its defaults.
 *
 *   npm run corpus:field -- [app …] [--minutes 6] [--node <binary>] [--healthy]
 *
 * Installs the packages of each app into a temporary folder, and sends the app its load until the finding has an owner
 * and a holder. Prints both. Exits with 1 if one is wrong or missing, or if a healthy app has a leak.
 */

const { execFileSync, fork } = require('node:child_process')
const { once } = require('node:events')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')
const { setTimeout: pause } = require('node:timers/promises')
const { parseArgs } = require('node:util')

const ROOT = path.join(__dirname, '..', '..')
const FIELD = path.join(__dirname, 'field')
const POLL_MS = 1000
/** Time for the server to open the file. */
const ABORT_MS = 30

/** A folder with the app, its packages, and this checkout as `plimsoll`. */
function install(name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-field-'))
  fs.cpSync(FIELD, folder, { recursive: true })
  // The app cannot be loaded before its packages are installed, so their names are read from its source.
  const source = fs.readFileSync(path.join(FIELD, 'apps', `${name}.js`), 'utf8')
  const [, packages] = /^exports\.packages = (\{.*?\})$/ms.exec(source)
  const dependencies = { express: '5.1.0', ...Object.fromEntries(pairs(packages)) }
  fs.writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ name: 'field', private: true, dependencies }))
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'], {
    cwd: folder,
    stdio: 'inherit'
  })
  fs.symlinkSync(ROOT, path.join(folder, 'node_modules', 'plimsoll'), 'junction')
  return folder
}

function pairs(text) {
  return [...text.matchAll(/'?([\w@/.-]+)'?: '([\d.]+(?:-[\w.]+)?)'/g)].map(([, name, version]) => [name, version])
}

/** Runs one twin until `done(stats)` or until `minutes` have passed. Resolves to its last statistics. */
async function run(folder, name, twin, { node, minutes }, done) {
  const app = require(path.join(folder, 'apps', `${name}.js`))
  const child = fork(path.join(folder, 'serve.js'), [name, twin], {
    cwd: folder,
    execPath: node,
    env: { ...process.env, PLIMSOLL_DIR: folder }
  })
  const [{ port }] = await once(child, 'message')
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 })
  const began = Date.now()
  let sent = 0
  let stats
  try {
    let pollAt = began + POLL_MS
    for (;;) {
      const [method, template, how] = app.paths[sent % app.paths.length]
      const target = template.replace(':n', String(sent))
      if (how === 'abort') abortUpload(port, target)
      else send(agent, port, method, target)
      sent += 1
      const ahead = began + (sent * 1000) / app.rate - Date.now()
      if (ahead > 0) await pause(ahead)
      if (Date.now() < pollAt) continue
      pollAt += POLL_MS
      child.send('stats')
      stats = (await once(child, 'message'))[0].stats
      if (done(stats) || Date.now() - began > minutes * 60_000)
        return { ...stats, seconds: Math.round((Date.now() - began) / 1000) }
    }
  } finally {
    agent.destroy()
    child.kill('SIGKILL')
  }
}

function send(agent, port, method, target) {
  const sending = http.request({ host: '127.0.0.1', port, method, path: target, agent }, res => res.resume())
  sending.on('error', () => {})
  sending.end()
}

/** A form with a file, whose client disconnects in the middle of it. */
function abortUpload(port, target) {
  const boundary = 'plimsoll'
  const headers = { 'content-type': `multipart/form-data; boundary=${boundary}`, 'content-length': 100_000 }
  const sending = http.request({ host: '127.0.0.1', port, method: 'POST', path: target, headers })
  sending.on('error', () => {})
  const disposition = 'Content-Disposition: form-data; name="file"; filename="a.bin"'
  sending.write(`--${boundary}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n`)
  sending.write(Buffer.alloc(10_000), () => setTimeout(() => sending.destroy(), ABORT_MS))
}

/** The leak of the expected class, or of the heap. */
const leakOf = ({ findings }, expected) =>
  findings.find(
    ({ kind, origin, class: name }) =>
      kind === 'leak' && (expected.class === undefined ? !/^\(/.test(origin ?? '') : name === expected.class)
  )

/** The routes that own a leak. A count has one. */
const ownersOf = ({ routes, route }) => (routes.length > 0 ? routes.map(each => each.route) : [route]).filter(Boolean)

async function check(name, options) {
  const folder = install(name)
  try {
    const { expected, leaky } = require(path.join(folder, 'apps', `${name}.js`))
    const twin = leaky === undefined || options.healthy ? 'healthy' : 'leaky'
    const isComplete = stats => {
      const leak = leakOf(stats, expected)
      const hasHolder = expected.class !== undefined || leak?.holder
      return leak !== undefined && hasHolder && ownersOf(leak).length >= expected.routes.length
    }
    const { seconds, requests, trend, faults, ...stats } = await run(
      folder,
      name,
      twin,
      options,
      twin === 'leaky' ? isComplete : () => false
    )
    const leak = twin === 'leaky' ? leakOf(stats, expected) : stats.findings.find(({ kind }) => kind === 'leak')
    const wrong = twin === 'leaky' ? problemsOf(leak, expected) : leak === undefined ? [] : ['a leak in a healthy app']
    if (faults > 0) wrong.push(`${faults} internal errors`)
    console.log(
      `\n${name} (${twin}): ${wrong.length === 0 ? 'right' : wrong.join('; ')} after ${seconds} s, ${requests.total} requests`
    )
    console.log(
      leak === undefined
        ? `  ${JSON.stringify(trend)}`
        : `  ${leak.advice}\n  path: ${leak.path?.join(' → ')}\n  package: ${leak.package}`
    )
    return wrong.length === 0
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function problemsOf(leak, { routes, holder }) {
  if (leak === undefined) return ['no leak']
  const owners = ownersOf(leak).sort()
  const problems = []
  if (JSON.stringify(owners) !== JSON.stringify([...routes].sort())) problems.push(`owners ${JSON.stringify(owners)}`)
  if (holder !== null && !holder.test(leak.holder ?? '')) problems.push(`holder ${leak.holder}`)
  return problems
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      minutes: { type: 'string', default: '6' },
      node: { type: 'string', default: process.execPath },
      healthy: { type: 'boolean', default: false }
    }
  })
  const known = fs.readdirSync(path.join(FIELD, 'apps')).map(file => file.replace(/\.js$/, ''))
  const unknown = positionals.filter(name => !known.includes(name))
  if (unknown.length > 0) throw new Error(`no app is called ${unknown.join(', ')}; there are ${known.join(', ')}`)
  let right = 0
  const names = positionals.length > 0 ? positionals : known
  for (const name of names) right += (await check(name, { ...values, minutes: Number(values.minutes) })) ? 1 : 0
  console.log(
    `\n${right} of ${names.length} right; Node ${values.node === process.execPath ? process.version : values.node}`
  )
  process.exitCode = right === names.length ? 0 : 1
}

main()
