'use strict'

/*
 * Shows progress on a terminal: one line that is redrawn. Without a terminal it shows nothing.
 */

const CELLS = 20
const EVERY_MS = 100

class Progress {
  constructor(stream) {
    this.stream = stream.isTTY ? stream : null
    this.drawn = 0
  }

  /** `round` of `rounds`. Most runs are decided long before the last one. */
  show({ phase, route = '', round, rounds }) {
    const now = performance.now()
    if (this.stream === null || (now - this.drawn < EVERY_MS && round !== undefined && round > 1)) return
    this.drawn = now
    const done = round === undefined ? '' : ` ${bar(round / rounds)} ${round} of ${rounds} at most`
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
    const text = `${phase} ${route}`.trim().replace(/[\u0000-\u001f\u007f-\u009f]/g, '')
    const width = Math.max(20, (this.stream.columns || 80) - 1)
    this.stream.write(`\r\u001b[2K${(text + done).slice(0, width)}`)
  }

  end() {
    if (this.drawn > 0) this.stream.write('\r\u001b[2K')
  }
}

function bar(share) {
  const full = Math.round(CELLS * Math.min(1, share))
  return `[${'#'.repeat(full)}${'.'.repeat(CELLS - full)}]`
}

module.exports = { Progress }
