'use strict'

// npm run release:prepare [-- --partial] [folder]
//
// From the binaries of all platforms, wherever they lie in `folder` (default: target/portable), makes the tarballs to publish,
// in target/release-npm/: one optional package for each platform, by napi-rs's conventions, and `plimsoll` itself, which names them
// and carries the binary for linux-x64-gnu. Works in a copy: the repository's package.json never names packages that are not
// published, so that `npm install` in a fresh clone asks for nothing that is not there. Publishes nothing; target/release-npm/order names the
// tarballs in the order to publish them, for .github/workflows/release.yml.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

/** In `plimsoll` itself: servers run on it, and lockfiles written on another platform may leave optional packages out. */
const INCLUDED = 'linux-x64-gnu'
const GLIBC = '2.28'
/** With each binary. npm packs a LICENSE whatever `files` says. */
const LICENSES = ['LICENSE', 'THIRD-PARTY-NOTICES']

const root = path.join(__dirname, '..')
const out = path.join(root, 'target', 'release-npm')

main().catch(error => {
  console.error(`release:prepare: ${error.message}`)
  process.exitCode = 1
})

async function main() {
  const args = process.argv.slice(2)
  const partial = args.includes('--partial')
  const folder = path.resolve(args.find(arg => !arg.startsWith('--')) ?? path.join(root, 'target', 'portable'))

  const targets = await wantedTargets()
  const binaries = findBinaries(folder)
  const missing = targets.filter(target => !binaries.has(target.platform)).map(target => target.platform)
  if (missing.length > 0 && !partial) {
    throw new Error(`no binary for ${missing.join(', ')} under ${folder} (--partial goes on without them)`)
  }
  for (const [platform, file] of binaries) if (platform.endsWith('-gnu')) checkGlibc(file)

  const stage = stagePackage()
  const optional = targets.filter(target => target.platform !== INCLUDED && binaries.has(target.platform))
  if (optional.length > 0) addOptionalPackages(stage, optional, binaries)
  const included = binaries.get(INCLUDED)
  if (included) fs.copyFileSync(included, path.join(stage, path.basename(included)))

  const packages = [...optional.map(target => path.join(stage, 'npm', target.platform)), stage]
  const tarballs = packages.map(pack)
  fs.writeFileSync(path.join(out, 'order'), tarballs.map(tarball => `${tarball}\n`).join(''))
  console.log(`\n${tarballs.length} tarballs, in the order to publish them:`)
  for (const tarball of tarballs) console.log(`  npm publish ${path.relative(process.cwd(), tarball)}`)
  if (missing.length > 0) console.log(`Not for publishing: there is no binary for ${missing.join(', ')}.`)
}

async function wantedTargets() {
  const { parseTriple } = await import('@napi-rs/cli')
  return manifest(root).napi.targets.map(triple => ({ triple, platform: parseTriple(triple).platformArchABI }))
}

function findBinaries(folder) {
  if (!fs.existsSync(folder))
    throw new Error(`there is no ${folder}: run npm run build:portable, and collect the others' binaries`)
  const found = new Map()
  for (const name of fs.readdirSync(folder, { recursive: true })) {
    const platform = /^plimsoll\.(.+)\.node$/.exec(path.basename(name))?.[1]
    if (platform === undefined) continue
    if (found.has(platform))
      throw new Error(`two binaries for ${platform}: ${found.get(platform)}, ${path.join(folder, name)}`)
    found.set(platform, path.join(folder, name))
  }
  return found
}

function checkGlibc(file) {
  execFileSync(path.join(__dirname, 'check-glibc.sh'), [file, GLIBC], { stdio: 'inherit' })
}

/** What `npm pack` would take of the repository, without binaries. */
function stagePackage() {
  fs.rmSync(out, { recursive: true, force: true })
  const stage = path.join(out, 'package')
  fs.mkdirSync(stage, { recursive: true })
  const [{ files }] = JSON.parse(npm(['pack', '--ignore-scripts', '--json', '--dry-run'], root))
  for (const { path: file } of files) {
    if (!file.endsWith('.node')) fs.cpSync(path.join(root, file), path.join(stage, file))
  }
  return stage
}

function addOptionalPackages(stage, optional, binaries) {
  const whole = manifest(stage)
  save(stage, { ...whole, napi: { ...whole.napi, targets: optional.map(target => target.triple) } })
  napi(['create-npm-dirs'], stage)
  for (const { platform } of optional) {
    const folder = path.join(stage, 'npm', platform)
    fs.copyFileSync(binaries.get(platform), path.join(folder, `plimsoll.${platform}.node`))
    for (const file of LICENSES) fs.copyFileSync(path.join(root, file), path.join(folder, file))
    const made = manifest(folder)
    save(folder, { ...made, files: [...made.files, 'THIRD-PARTY-NOTICES'] })
  }
  // Writes optionalDependencies; without the last option it would publish, too.
  napi(['pre-publish', '--tag-style', 'npm', '--skip-optional-publish'], stage)
  save(stage, { ...manifest(stage), napi: whole.napi })
}

function napi(args, cwd) {
  execFileSync(process.execPath, [path.join(root, 'node_modules/@napi-rs/cli/dist/cli.js'), ...args], {
    cwd,
    stdio: 'inherit'
  })
}

function pack(folder) {
  const [{ filename }] = JSON.parse(npm(['pack', '--ignore-scripts', '--json', '--pack-destination', out], folder))
  return path.join(out, filename)
}

function npm(args, cwd) {
  return execFileSync('npm', args, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    shell: process.platform === 'win32'
  })
}

function manifest(folder) {
  return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
}

function save(folder, content) {
  fs.writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`)
}
