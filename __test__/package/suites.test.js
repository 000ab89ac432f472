'use strict'

// `npm run suites`: a test that fails only with Plimsoll is found, one that fails anyway is not, and a suite that
// cannot run is named.

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const test = require('node:test')

const COMMAND = path.join(__dirname, '..', '..', 'bench', 'suites', 'run.js')
const SERVED = `
const http = require('node:http')
const server = http.createServer((req, res) => { check(req); res.end() }).listen(0, () =>
  http.get({ port: server.address().port }, res => { res.resume(); server.close() }))`

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'plimsoll-suites-test-'))
test.after(() => fs.rmSync(folder, { recursive: true, force: true }))

function write(name, content) {
  const file = path.join(folder, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, content)
}

write('own/test/parallel/test-http-plain.js', `const check = req => req.url${SERVED}`)
write('own/test/parallel/test-http-flags.js', `// Flags: --expose-gc\nconst check = () => gc()${SERVED}`)
write(
  'own/test/parallel/test-http-sees-us.js',
  `const check = req => { if (req.scope) throw new TypeError('it has a scope') }${SERVED}`
)
write('own/test/parallel/test-http-fails.js', "throw new Error('it fails anyway')")
write('own/test/parallel/test-net-other.js', "throw new Error('it is not asked for')")
write('mocha/package.json', JSON.stringify({ scripts: { test: 'npm run unit', unit: 'mocha --bail test/' } }))
write('none/package.json', JSON.stringify({ scripts: { test: 'tap' } }))

function suites(...args) {
  return new Promise(resolve => {
    const env = { ...process.env, NODE_TEST_CONTEXT: '' }
    execFile(process.execPath, [COMMAND, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr })
    )
  })
}

test('names the test that fails only with Plimsoll', async () => {
  const { code, stdout, stderr } = await suites('--from', folder, '--node', process.execPath, 'own')
  assert.equal(code, 1, stderr)
  assert.match(stdout, /^\| own +\| +4 \| +3 \| +3 \| +2 \| +1 \| +0 \| +0 \|$/m)
  assert.match(stdout, /own: differ\n\n- test-http-sees-us\.js: TypeError: it has a scope\n/)
  assert.doesNotMatch(stdout, /fails|plain|other/)
})

test('exits with 0 where nothing differs', async () => {
  const { code, stdout } = await suites('--from', folder, '--node', process.execPath, '--only', 'plain', 'own')
  assert.equal(code, 0)
  assert.match(stdout, /^\| own +\| +1 \| +1 \| +1 \| +1 \| +0 \| +0 \| +0 \|$/m)
})

test('says what is wrong with a folder, a name or an option', async () => {
  const wrong = async (...args) => {
    const { code, stderr } = await suites(...args)
    assert.equal(code, 2)
    return stderr
  }
  assert.match(await wrong(), /--from FOLDER is missing/)
  assert.match(await wrong('--from', path.join(folder, 'nowhere')), /--from: .*nowhere does not exist/)
  assert.match(await wrong('--from', folder, 'express'), /has no express; it has: mocha, none, own/)
  assert.match(await wrong('--from', folder, '--jobs', '0'), /--jobs takes a positive integer, not '0'/)
  assert.match(await wrong('--from', folder, 'mocha'), /mocha is not installed there: run npm install/)
  assert.match(await wrong('--from', folder, 'none'), /its script 'test' runs none of mocha, vitest, jest/)
})
