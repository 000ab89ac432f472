'use strict'

/*
 * Pools whose waiting callbacks are called by whoever gives a connection back: in another request's context, and so in its span.
 * Node's AsyncLocalStorage loses them there, and so would any tracer. While spans are metered a callback keeps the context of
 * the request that handed it over. Pools that answer with promises need none of this.
 */

/** Files of the modules, and the method that takes the callback last. */
const KNOWN = [
  { file: /[\\/]pg-pool[\\/]index\.js$/, method: 'connect' },
  { file: /[\\/]mysql2[\\/]lib[\\/](?:base[\\/])?pool\.js$/, method: 'getConnection' },
  { file: /[\\/]mysql[\\/]lib[\\/]Pool\.js$/, method: 'getConnection' }
]

const patched = new WeakSet()
let loaded = 0

/** Looks for them among the modules that are loaded by now; `keep` makes of a callback one that keeps its context. */
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
