'use strict'

/*
 * Where functions are defined, by the inspector. No recording runs in this process, so V8 cannot be asked directly.
 */

const { placeOf } = require('../../core/call-site.js')
const describe = require('../../core/describe.js')

const SHARED = Symbol.for('plimsoll.soak.functions')

/** `{ name, place }` of each function. `place` is '' where it is not known. */
function placesOf(functions) {
  const { Session } = require('node:inspector')
  const session = new Session()
  session.connect()
  const scripts = new Map()
  session.on('Debugger.scriptParsed', ({ params: { scriptId, url } }) => scripts.set(scriptId, url))
  const ask = (method, params) => {
    let answer
    // A session within the process calls back before `post` returns.
    session.post(method, params, (_error, result) => {
      answer = result
    })
    return answer
  }
  try {
    globalThis[SHARED] = functions
    ask('Debugger.enable')
    return functions.map((handle, at) => {
      const name = describe.text(handle, 'name') || '(anonymous)'
      const expression = `globalThis[Symbol.for('plimsoll.soak.functions')][${at}]`
      const objectId = ask('Runtime.evaluate', { expression })?.result?.objectId
      const properties = objectId && ask('Runtime.getProperties', { objectId, ownProperties: true })
      const location = properties?.internalProperties?.find(each => each.name === '[[FunctionLocation]]')?.value?.value
      const url = location && scripts.get(location.scriptId)
      return { name, place: url ? placeOf(url, location.lineNumber + 1) : '' }
    })
  } finally {
    delete globalThis[SHARED]
    session.disconnect()
  }
}

module.exports = { placesOf }
