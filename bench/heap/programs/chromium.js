'use strict'

/* Writes the heap snapshot of a page with attached and detached elements and a WeakMap. Argument: the file. */

const { createWriteStream } = require('node:fs')
const { join } = require('node:path')
const { createRequire } = require('node:module')
const { chromium } = createRequire(join(__dirname, '..', 'peers', 'package.json'))('playwright-core')

const EXECUTABLE = process.env.CHROMIUM || '/usr/bin/chromium'
const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking']
const PAGE = `<div id="a"><p class="x">hello</p></div><script>
  class Row {
    constructor(n) {
      this.element = document.createElement('div')
      this.element.innerHTML = '<b>' + n + '</b>'
    }
  }
  var rows = new Map()
  var notes = new WeakMap()
  for (let n = 0; n < 2000; n++) {
    const row = new Row(n)
    rows.set(n, row)
    notes.set(row, { items: [n], note: 'n' + n })
  }
</script>`

async function main() {
  const browser = await chromium.launch({ executablePath: EXECUTABLE, args: ARGS })
  try {
    const page = await browser.newPage()
    await page.setContent(PAGE)
    const session = await page.context().newCDPSession(page)
    const file = createWriteStream(process.argv[2], { mode: 0o600 })
    session.on('HeapProfiler.addHeapSnapshotChunk', ({ chunk }) => file.write(chunk))
    await session.send('HeapProfiler.takeHeapSnapshot')
    await new Promise((resolve, reject) => file.on('error', reject).end(resolve))
  } finally {
    await browser.close()
  }
}

main().catch(error => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
