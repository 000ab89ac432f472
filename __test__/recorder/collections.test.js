'use strict'

const assert = require('node:assert/strict')
const test = require('node:test')
const { setTimeout: pause } = require('node:timers/promises')
const { isDeepStrictEqual } = require('node:util')
const { start } = require('../support/child.js')
const { show, folder } = require('../support/cli.js')
const { request, until } = require('../support/http.js')

const MB = 2 ** 20

test('every collection is in the record, with its kind, pause and sizes', async t => {
  const dir = folder(t)
  const server = await start('collections', { execArgv: ['--expose-gc', '--trace-gc'], env: { PLIMSOLL_DIR: dir } })
  t.after(() => server.stop())
  // V8 itself prints a line for each collection.
  const traced = kind =>
    server
      .output()
      .split('\n')
      .filter(line => line.includes(kind)).length
  const counted = ({ gc }) => [gc.scavenge?.count ?? 0, gc['mark-sweep-compact']?.count ?? 0]
  /**
   * Collections that V8 has traced but that are not counted: those before the start. Lines arrive late, and collections
   * may happen between two readings.
   */
  const beyond = () =>
    until(async () => {
      const looks = []
      for (let i = 0; i < 2; i++) {
        const [scavenges, marks] = counted(await server.ask('stats'))
        looks.push([traced(': Scavenge') - scavenges, traced('Mark-Compact') - marks])
        await pause(50)
      }
      return isDeepStrictEqual(looks[0], looks[1]) && looks[0]
    }, 'what is traced and what is counted stand still')
  const atFirst = await beyond()
  const before = counted(await server.ask('stats'))
  for (let i = 0; i < 30; i++) await request(server.port, '/garbage')
  await server.ask('gc')
  assert.deepEqual(await beyond(), atFirst)
  const [scavenges, marks] = counted(await server.ask('stats')).map((count, i) => count - before[i])
  assert.ok(scavenges > 10 && marks >= 4, `${scavenges} and ${marks}`)

  // On a disk the record is a copy, up to 250 ms old.
  const record = await until(async () => {
    const [record] = await show(dir)
    return record.collections.length >= scavenges + marks && record
  }, 'all of them are in the ring')
  for (const { at, kind, pauseMs, beforeBytes, afterBytes } of record.collections) {
    assert.match(kind, /^(scavenge|mark-sweep-compact|incremental-marking|minor-mark-sweep|weak-callbacks)$/)
    assert.ok(pauseMs > 0 && pauseMs < 10_000)
    assert.ok(beforeBytes > MB && afterBytes > MB)
    assert.ok(at >= record.startedAt)
  }
  const freed = record.collections.filter(({ kind }) => kind === 'scavenge').map(c => c.beforeBytes - c.afterBytes)
  assert.ok(freed.filter(bytes => bytes > 0).length > freed.length / 2)
})

test('the live heap is a series of its own: what is held shows, garbage does not', async t => {
  const server = await start('collections', { execArgv: ['--expose-gc'] })
  t.after(() => server.stop())
  const live = async megabytes => {
    await server.ask('hold', megabytes)
    for (let i = 0; i < 5; i++) await request(server.port, '/garbage')
    await server.ask('gc')
    const { heap } = await server.ask('stats')
    const last = heap.liveHistory.at(-1)
    assert.equal(last.heapBytes, heap.liveBytes)
    assert.equal(last.at, heap.liveAt)
    return last
  }
  const empty = await live(0)
  const full = await live(40)
  const again = await live(0)
  const held = full.heapBytes - empty.heapBytes
  assert.ok(held > 39 * MB && held < 44 * MB, `${held}`)
  assert.ok(Math.abs(again.heapBytes - empty.heapBytes) < 3 * MB, `${again.heapBytes} after ${empty.heapBytes}`)
  assert.deepEqual([full.requestsTotal - empty.requestsTotal, again.requestsTotal - full.requestsTotal], [5, 5])
  assert.ok(full.rssBytes > 20 * MB && full.at >= empty.at)
})

test('delay and utilisation of the event loop are of the last interval, not since the start', async t => {
  const server = await start('collections')
  t.after(() => server.stop())
  const blocked = request(server.port, '/block')
  await blocked
  const busy = await until(async () => {
    const { eventLoop } = await server.ask('stats')
    return eventLoop.lagMs > 300 && eventLoop
  }, 'the turn that was late')
  assert.ok(busy.utilization > 0.5, `${busy.utilization}`)
  const idle = await until(async () => {
    const { eventLoop } = await server.ask('stats')
    return eventLoop.lagMs < 100 && eventLoop.utilization < 0.3 && eventLoop
  }, 'a turn that was not')
  assert.ok(idle.longestBlockMs >= 0)
})
