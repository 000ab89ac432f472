'use strict'

// Leak detection asks V8 for collections. The only cost for the program must be the marking. It must not enter the mode
// that reduces memory, which shrinks the young generation. It must leave V8's count of external memory unchanged,
// through which it asks.

const assert = require('node:assert/strict')
const test = require('node:test')
const { start } = require('../support/child.js')
const { need, nodes, major } = require('../support/nodes.js')

const QUESTIONS = 8
const MB = 2 ** 20
/** A MB each. */
const BUFFERS = 2000

async function app(t, { node, flags = [] }) {
  const server = await start('marking', { node: node.path, execArgv: ['--expose-gc', '--trace-gc', ...flags] })
  t.after(() => server.stop())
  const traced = pattern =>
    server
      .output()
      .split('\n')
      .filter(line => pattern.test(line)).length
  return { ...server, traced }
}

for (const version of [20, 22, 24, 26]) {
  const nodeFor = t => (version === major(nodes[0]) ? [nodes[0]] : need(t, [version]))?.[0]

  test(`Node ${version}: a question is answered by an ordinary collection; scavenges and new space stay as without`, async t => {
    const node = nodeFor(t)
    if (!node) return
    const asked = await app(t, { node })
    const found = await asked.ask('run', { questions: QUESTIONS })
    const left = await app(t, { node })
    const reference = await left.ask('run', { questions: 0, ticks: found.ticks })

    assert.equal(found.ticks, reference.ticks)
    assert.ok(found.majors >= QUESTIONS, `${found.majors} collections`)
    assert.ok(
      found.external.every(bytes => bytes < 32 * MB),
      `${found.external}`
    )
    assert.ok(asked.traced(/Mark-Compact/) >= QUESTIONS)
    assert.equal(asked.traced(/\(reduce\)/), 0, asked.output())
    const [more, scavenges] = [asked, left].map(({ traced }) => traced(/Scavenge/))
    t.diagnostic(`${more} scavenges, ${scavenges} without; new space ${found.newSpace} and ${reference.newSpace}`)
    assert.ok(scavenges > 20 && more <= 1.2 * scavenges + 5, `${more} scavenges, ${scavenges} without`)
    assert.ok(found.newSpace >= reference.newSpace / 2, `${found.newSpace} of ${reference.newSpace}`)
  })

  test(`Node ${version}: ten thousand questions leave V8's counts, and the record, as they were`, async t => {
    const node = nodeFor(t)
    if (!node) return
    const [asked, left] = await Promise.all([app(t, { node }), app(t, { node })])
    const { first, last, majors, external, seen } = await asked.ask('ask', 10_000)
    assert.ok(majors > 10, `${majors}`)
    assert.ok(Math.abs(last - first) < MB, `${first} and ${last}`)
    assert.ok(
      [external, ...seen].every(bytes => bytes < 16 * MB),
      `${external} ${seen}`
    )
    // V8 still collects for external memory: if its limit had moved, all buffers would be alive at once.
    const [most, reference] = [await asked.ask('buffers', BUFFERS), await left.ask('buffers', BUFFERS)]
    t.diagnostic(`${most} and ${reference} bytes of external memory at most`)
    assert.ok(most < (BUFFERS / 2) * MB, `${most} of ${BUFFERS * MB}`)
  })

  test(`Node ${version}: a heap without room for the question is not asked so`, async t => {
    const node = nodeFor(t)
    if (!node) return
    const [small, large] = await Promise.all(
      [128, 140].map(mb => app(t, { node, flags: [`--max-old-space-size=${mb}`] }))
    )
    const [refused, answered] = [await small.ask('ask', 20), await large.ask('ask', 20)]
    assert.deepEqual([refused.first, refused.last], [null, null])
    assert.ok(answered.last < 16 * MB)
    for (const { traced } of [small, large]) assert.equal(traced(/\(reduce\)/), 0)
  })
}
