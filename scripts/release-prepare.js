'use strict'

// npm run release:prepare [-- --partial] [folder]
//
// Makes the tarballs to publish, in target/release-npm/: an optional package for each platform, as napi-rs names them,
// and `plimsoll` itself. `plimsoll` lists the others as optional dependencies and contains the binary for
// linux-x64-gnu. The binaries come from `folder` and its subfolders (default: target/portable).
//
// --partial leaves out the platforms that have no binary. Such tarballs must not be published.
//
// The script works on a copy. The package.json of the repository must not list packages that are not published yet,
// or `npm install` in a fresh clone would fail.
//
// It publishes nothing. target/release-npm/order lists the tarballs in the order of publication, for
// .github/workflows/release.yml.

const { execFileSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

/** The binary in `plimsoll` itself. Most servers need it, and a lockfile of another platform may omit optional packages. */
const INCLUDED = 'linux-x64-gnu'
const GLIBC = '2.28'
/** Published with each binary. npm always packs a LICENSE. */
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
    throw new Error(`no binary for ${missing.join(', ')} in ${folder}; --partial leaves these platforms out`)
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
  if (missing.length > 0) console.log(`Do not publish them: there is no binary for ${missing.join(', ')}.`)
}

async function wantedTargets() {
  const { parseTriple } = await import('@napi-rs/cli')
  return manifest(root).napi.targets.map(triple => ({ triple, platform: parseTriple(triple).platformArchABI }))
}

function findBinaries(folder) {
  if (!fs.existsSync(folder))
    throw new Error(
      `${folder} does not exist: run npm run build:portable, and copy the binaries of other platforms there`
    )
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

/** A copy of the files that `npm pack` would pack, without binaries. */
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
  // Writes optionalDependencies. Without the last option it would also publish.
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
