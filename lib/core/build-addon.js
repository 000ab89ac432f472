'use strict'

// `npx plimsoll build`: the addon from source, for platforms that no binary is published for. Nothing runs this at
// installation; the package has no install script. It must work from the published tarball, with Node and cargo alone:
// no napi CLI, no development dependency.

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { ROOT: root } = require('./folders.js')

/** The oldest supported Rust, `[major, minor]`, from Cargo.toml, which is in the package. */
function oldestRust() {
  const manifest = fs.readFileSync(path.join(root, 'Cargo.toml'), 'utf8')
  const [, major, minor] = manifest.match(/^rust-version = "(\d+)\.(\d+)/m)
  return [Number(major), Number(minor)]
}

/** The name in the file that binding.js loads: `linux-x64-gnu`, `darwin-arm64`, `win32-x64-msvc`, … */
function platformName() {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform === 'android') return arch === 'arm' ? 'android-arm-eabi' : `android-${arch}`
  if (platform !== 'linux') return `${platform}-${arch}`
  const libc = isMusl() ? 'musl' : 'gnu'
  return arch === 'arm' ? `linux-arm-${libc}eabihf` : `linux-${arch}-${libc}`
}

function isMusl() {
  const { excludeNetwork } = process.report
  // Otherwise a report resolves the peer of every open socket by DNS.
  process.report.excludeNetwork = true
  const { header } = process.report.getReport()
  process.report.excludeNetwork = excludeNetwork
  return !header.glibcVersionRuntime
}

class BuildError extends Error {}

/**
 * Resolves to the path of the addon. Progress goes to stderr. @throws {BuildError} with a message that says what to do.
 */
async function build() {
  const cargo = process.env.CARGO || 'cargo'
  const version = checkRust(cargo)
  const name = `plimsoll.${platformName()}.node`
  // The folder remains after a failure, so that the next try continues where this one stopped.
  const own = process.env.CARGO_TARGET_DIR ? null : path.join(root, 'target')
  progress(
    `building ${name} with ${version}. This takes a few minutes, and 300 MB in ${own ?? process.env.CARGO_TARGET_DIR}`
  )

  const library = await compile(cargo, own)
  const addon = path.join(root, name)
  // The file is renamed, not copied over the old one: a process that has the old one mapped would crash.
  const fresh = `${addon}.${process.pid}`
  try {
    fs.copyFileSync(library, fresh)
    fs.renameSync(fresh, addon)
  } catch (error) {
    fs.rmSync(fresh, { force: true })
    throw new BuildError(`built, but ${addon} cannot be written: ${error.message}`)
  }
  load(addon)
  if (own) fs.rmSync(own, { recursive: true, force: true })
  progress(`${addon} is ready`)
  return addon
}

function checkRust(cargo) {
  const [oldestMajor, oldestMinor] = oldestRust()
  const wanted = `Rust ${oldestMajor}.${oldestMinor} or later`
  const install = `Install ${wanted} from https://rustup.rs, or your system's packages, and run \`npx plimsoll build\` again.`
  let version
  try {
    version = execFileSync(cargo, ['--version'], { cwd: root, encoding: 'utf8' }).trim()
  } catch (error) {
    if (error.code === 'ENOENT')
      throw new BuildError(`building needs ${wanted}, and \`${cargo}\` is not on the PATH. ${install}`)
    throw new BuildError(`\`${cargo} --version\` failed: ${error.message.trim()}\n${install}`)
  }
  const [, major, minor] = version.match(/(\d+)\.(\d+)\./) ?? []
  if (major === undefined)
    throw new BuildError(`\`${cargo} --version\` printed "${version}", which is not a version. ${install}`)
  if (Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor)) {
    throw new BuildError(`building needs ${wanted}, but found ${version}. Run \`rustup update\`, or: ${install}`)
  }
  return version
}

function compile(cargo, targetDir) {
  const args = ['build', '--release', '--locked', '--lib', '--message-format=json-render-diagnostics']
  if (targetDir) args.push('--target-dir', targetDir)
  return new Promise((resolve, reject) => {
    const child = spawn(cargo, args, { cwd: root, env: environment(), stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', chunk => {
      output += chunk
    })
    child.on('error', error => reject(new BuildError(`\`${cargo}\` cannot be run: ${error.message}`)))
    child.on('close', (code, signal) => {
      const library = code === 0 && findLibrary(output)
      if (library) return resolve(library)
      const how = signal ? `was ended by ${signal}` : code === 0 ? 'built no library' : `ended with ${code}`
      reject(
        new BuildError(
          `cargo ${how}. Its output is above. Besides Rust, the build needs a C compiler and make (for jemalloc; ` +
            'Debian: build-essential, Alpine: build-base, macOS: xcode-select --install), and access to crates.io ' +
            'or its crates in the local cache (CARGO_NET_OFFLINE=true).'
        )
      )
    })
  })
}

function environment() {
  const env = { ...process.env }
  // On musl, Rust links statically by default, and a static library cannot be loaded.
  if (platformName().includes('musl')) env.RUSTFLAGS = `${env.RUSTFLAGS ?? ''} -C target-feature=-crt-static`.trim()
  // jemalloc uses the page size of the build machine, but arm64 kernels have pages of 4 to 64 KiB.
  if (process.platform === 'linux' && process.arch === 'arm64') env.JEMALLOC_SYS_WITH_LG_PAGE ??= '16'
  return env
}

/** The path of the library from cargo's output: settings of the user (a target, a target directory) change it. */
function findLibrary(output) {
  for (const line of output.split('\n')) {
    if (!line.startsWith('{')) continue
    const message = JSON.parse(line)
    if (message.reason !== 'compiler-artifact' || message.target.name !== 'plimsoll') continue
    const library = message.filenames.find(file => /\.(so|dylib|dll)$/.test(file))
    if (library) return library
  }
  return null
}

function load(addon) {
  try {
    // Checked in another process, because this one may have an older addon loaded.
    execFileSync(process.execPath, ['-e', 'require(process.argv[1])', addon], { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    throw new BuildError(`built, but ${addon} does not load:\n${String(error.stderr).trim()}`)
  }
}

function progress(message) {
  process.stderr.write(`plimsoll: ${message}\n`)
}

module.exports = { build, platformName, BuildError }
