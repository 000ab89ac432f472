'use strict'

/*
 * Pools call waiting callbacks when another request returns a connection: in that request's context, and so in its
 * span. Node's AsyncLocalStorage loses the context there, and so does any tracer. While spans are metered, a callback
 * keeps the context of the request that passed it. Pools that return promises do not need this.
 */

/** Files of the modules, and the method whose last argument is the callback. */
const KNOWN = [
  { file: /[\\/]pg-pool[\\/]index\.js$/, method: 'connect' },
  { file: /[\\/]mysql2[\\/]lib[\\/](?:base[\\/])?pool\.js$/, method: 'getConnection' },
  { file: /[\\/]mysql[\\/]lib[\\/]Pool\.js$/, method: 'getConnection' }
]

const patched = new WeakSet()
let loaded = 0

/** Searches the modules that are loaded so far. `keep` wraps a callback so that it keeps its context. */
function watch(keep) {
  const files = Object.keys(require.cache)
  if (files.length === loaded) return
  loaded = files.length
  for (const file of files) {
    const known = KNOWN.find(pool => pool.file.test(file))
    const prototype = known && require.cache[file].exports?.prototype
    if (!prototype || patched.has(prototype) || typeof prototype[known.method] !== 'function') continue
    patched.add(prototype)
    patch(prototype, known.method, keep)
  }
}

function patch(prototype, method, keep) {
  const original = prototype[method]
  prototype[method] = function (...args) {
    const callback = args.at(-1)
    if (typeof callback === 'function') args[args.length - 1] = keep(callback)
    return Reflect.apply(original, this, args)
  }
}

module.exports = { watch }
