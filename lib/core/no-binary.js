'use strict'

/*
 * The reason why the addon could not be loaded, and what to do about it.
 */

const { platformName } = require('./build-addon.js')
const { message } = require('./describe.js')

/** Part of Node's message if addons are disabled. */
const DISABLED = 'loading addons is disabled'

/** One sentence for the user. `error` is what binding.js threw. The failures of its attempts are in its `cause`s. */
function reasonOf(error) {
  const messages = messagesOf(error)
  if (messages.some(message => message.includes(DISABLED))) return forbidden()
  // binding.js tries several files. Any other failure is more informative than a missing file.
  const said = messages.find(message => !message.startsWith('Cannot find ')) ?? messages.at(-1)
  return (
    `no binary for ${platformName()} (Node ${process.version}) could be loaded. ` +
    `Run \`npx plimsoll build\` (needs Rust), or install the optional packages too. ${said}`
  )
}

function forbidden() {
  const flags = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)]
  if (process.permission === undefined || flags.includes('--no-addons'))
    return 'Node runs with --no-addons, so the binary cannot be loaded. Start Node without --no-addons'
  return 'Node runs with --permission but without --allow-addons, so the binary cannot be loaded. Add --allow-addons'
}

/** The first line of each error in a chain of causes. */
function messagesOf(error) {
  const messages = []
  for (let each = error; each !== undefined && each !== null && messages.length < 32; each = each.cause)
    messages.push(message(each).split('\n')[0])
  return messages
}

module.exports = { reasonOf }
