// Compiled by `npm run lint`, never run: what the types let through, and what they stop. `plimsoll` resolves to this repository.

import http = require('node:http')
import net = require('node:net')

import { PassThrough } from 'node:stream'

import connect = require('connect')
import express = require('express')
import express4 = require('express4')
import plimsoll = require('plimsoll')

import type { Config } from 'plimsoll/register'

/** Any object is taken; what is no pool is found out when it is called. */
class Pool {
  end(): void {}
}

const options: plimsoll.Options = {
  name: 'shop',
  log: console,
  urls: 'full',
  recorder: { dir: '/var/run/shop' },
  stats: { file: 'stats.ndjson', intervalMs: 1000, maxBytes: '1mb', keep: 2 },
  leaks: { sites: false, snapshots: { dir: '/var/tmp', keep: true } }
}
plimsoll({ leaks: { snapshots: true } })
// @ts-expect-error: it is not `folder`
plimsoll({ leaks: { snapshots: { folder: '/var/tmp' } } })
plimsoll.on('finding', ({ class: name, path, bytesPerRequest }) => {
  const told: [string | null, string[] | null, number | null] = [name, path, bytesPerRequest]
  console.log(told)
})

const five = express()
five.use(plimsoll(options))
five.use(plimsoll.limit('10mb'))
five.use(plimsoll.limit({ limit: '1mb', report: true }))
five.use(plimsoll.limit({ limit: '1mb', inflate: true }))
five.use(plimsoll.limit({ limit: '1mb', inflate: { ratio: 20, threshold: '10kb' } }))
five.use(plimsoll.limit({ 'application/json': '1mb', 'image/*': 1024, default: '100kb' }))
five.use(plimsoll.limit(req => (req.headers['x-plan'] ? '1gb' : 1024)))
five.use(
  plimsoll.limit({
    limit: { 'text/plain': 1, default: 2 },
    routes: { 'POST /uploads/:id': '1gb', '/any': () => 1 },
    fallback: 0,
    defer: true,
    budget: '512mb',
    minRate: { bytes: '1kb', graceMs: 5000 },
    linger: { timeMs: 1000, idleMs: 100, bytes: '1mb', drain: 0 }
  })
)
five.use(plimsoll.limit({ limit: 1, minRate: '1kb' }))
// @ts-expect-error: content types need a default
five.use(plimsoll.limit({ 'application/json': '1mb' }))
// @ts-expect-error: no such bound
five.use(plimsoll.limit({ limit: 1, linger: { time: 1 } }))
plimsoll.attach(five.listen(0)).close()
// @ts-expect-error: an app is no server
plimsoll.attach(five)
five.use(plimsoll.shed())
five.use(
  plimsoll.shed({
    heap: [0.7, 0.8],
    rss: false,
    delayMs: [100, 500],
    native: ['256mb', 1e9],
    exempt: ['/ping'],
    priority: req => (req.url === '/' ? 'high' : 'low'),
    retryAfterS: [2, 8],
    report: true
  })
)
five.get('/readyz', plimsoll.ready())
five.post('/upload', plimsoll.limit({ limit: 1024 }), express.json(), (req, res) => {
  const usage: plimsoll.Usage | undefined = plimsoll.usage(req)
  plimsoll.route(req, 'GET /x/{id}')
  res.json(usage?.heapBytes)
})
five.use('/api', express.Router().use(plimsoll.limit(1024)))
five.get('/metrics', plimsoll.metrics({ only: 'plimsoll', scope: 'process' }))

five.post(
  '/spooled',
  plimsoll.spool({ memory: '1mb', dir: '/srv/spool', type: ['image/*'], limit: '1gb' }),
  async (req, res) => {
    const body: plimsoll.Spooled = req.body
    body.stream().pipe(res)
    await body.moveTo(new URL('file:///srv/images/1'), { overwrite: true })
    const text: string = await body.text()
    // @ts-expect-error: it has no path of its own
    body.path
    // @ts-expect-error: the size cannot be set
    body.size = text.length
  }
)
// @ts-expect-error: an option that there is not
plimsoll.spool({ folder: '/srv' })

five.use(plimsoll.scope(), plimsoll.scope({ waitMs: 500 }))
five.get('/scoped', async (req, res) => {
  const scope: plimsoll.Scope = plimsoll.scope.of(req)
  const socket = scope.use(new net.Socket())
  scope.use({ id: 1 }, ({ id }) => console.log(id))
  scope.defer(async () => socket.resetAndDestroy())
  const user: string | undefined = scope.set('user', 'a').get<string>('user')
  await fetch('http://127.0.0.1', { signal: scope.has(user) ? scope.signal : scope.timeout(100) })
  await scope.pipe(process.stdin, new PassThrough(), res)
  // @ts-expect-error: nothing that could be closed
  scope.use(7)
  // @ts-expect-error: made by scope() alone
  new plimsoll.Scope()
})
// @ts-expect-error: an option that there is not
plimsoll.scope({ wait: 5 })
const pool: Pool = plimsoll.watchPool(new Pool(), { grace: 500, reclaim: true })
pool.end()
// @ts-expect-error: no pool
plimsoll.watchPool('postgres://')
plimsoll.watchListeners()
plimsoll.watchListeners(process)
plimsoll.watchListeners([process, new EventTarget()])
plimsoll.watchListeners({ stop: new AbortController().signal })
// @ts-expect-error: nothing that has listeners
plimsoll.watchListeners({ pool })
plimsoll.expectCollected(pool, 'the pool')
// @ts-expect-error: no object
plimsoll.expectCollected('pool', 'the pool')
plimsoll({ watch: true })
plimsoll({ watch: { retained: true, largeProperties: '500kb', timers: false, streams: true } })
// @ts-expect-error: no such watcher
plimsoll({ watch: { sockets: true } })
plimsoll.on('finding', ({ kind, route, origin, count }) => console.log(kind, route, origin, count))
plimsoll.off('finding', console.log)
// @ts-expect-error: no such event
plimsoll.on('found', console.log)

const four = express4()
four.use(plimsoll.spool({ type: req => req.headers['x-large'] !== undefined }))
four.use(plimsoll({ recorder: false }))
four.use(plimsoll.limit('10mb'))
four.get('/metrics', plimsoll.metrics({ histograms: 'all', buckets: [0.1, 1] }))
four.get('/usage', (req, res) => res.json(plimsoll.usage(req)))

const small = connect()
small.use(plimsoll())
small.use('/upload', plimsoll.limit('1kb'))

const track = plimsoll()
http.createServer((req, res) => track(req, res, () => res.end(String(plimsoll.usage(req)?.bodyBytes))))

// @ts-expect-error: an option that there is not
plimsoll({ nmae: 'shop' })
// @ts-expect-error: a value that is not taken
plimsoll({ urls: 'all' })
// @ts-expect-error: no such priority
plimsoll.shed({ priority: 'urgent' })
// @ts-expect-error: two marks
plimsoll.shed({ heap: 0.9 })
// @ts-expect-error: a size or a share
plimsoll({ nearLimit: { reserve: true } })
plimsoll({ nearLimit: { reserve: '10%' } })
// @ts-expect-error: a size is a number or a string
plimsoll.limit(true)
// @ts-expect-error: no limit without a limit
plimsoll.limit()
// @ts-expect-error: the recorder is made with it, or not at all
plimsoll({ recorder: true })
// @ts-expect-error: one of three
plimsoll.metrics({ histograms: true })
// @ts-expect-error: openmetrics is chosen by Accept there
plimsoll.metrics({ openmetrics: true })

const text: Promise<string> = plimsoll.metrics.text({ only: 'plimsoll', scope: 'all', openmetrics: true })

const stats = plimsoll.stats()
const scavenges: number | undefined = stats.gc.scavenge?.count
const resident: number | 'unsupported' = stats.native === 'unsupported' ? stats.native : stats.native.residentBytes
const live: number | null = stats.heap.liveBytes
const why: string | undefined = stats.heap.reason
const slowest: plimsoll.Distribution | undefined = stats.routes[0]?.durationMs
// @ts-expect-error: there may have been no major collection yet
stats.heap.liveBytes.toFixed()

async function whereIsMyRss() {
  const memory: plimsoll.Memory = await plimsoll.memory()
  const free = memory.parts.find(part => part.name === 'malloc-free')
  if (free !== undefined && free.bytes !== 'unsupported' && free.bytes > 100e6) {
    const { freedBytes, stalledMs }: plimsoll.Trimmed = await plimsoll.trim()
    return freedBytes / stalledMs
  }
  // @ts-expect-error: musl has no mallinfo2
  return memory.glibc.freeBytes
}
// @ts-expect-error: there is nothing to choose
plimsoll.trim({ jemalloc: false })
// @ts-expect-error: no such part
const part: plimsoll.MemoryPartName = 'heap'

const death = plimsoll.lastDeath()
if (death?.cause === 'cgroup OOM') death.inFlight.map(request => `${request.method} ${request.route ?? request.path}`)
// @ts-expect-error: no such cause
if (death?.cause === 'old age') death.evidence

function isTooLarge(error: unknown): error is plimsoll.TooLargeError {
  return error instanceof Error && 'type' in error && error.type === 'entity.too.large'
}
function explain(error: unknown) {
  if (isTooLarge(error)) return `${error.status}: ${error.received ?? error.length} of ${error.limit}`
  return null
}

// The global `Record` is not hidden by plimsoll's own.
const record: Record<string, plimsoll.Record> = {}

export { explain, live, part, record, resident, scavenges, slowest, text, whereIsMyRss, why }

async function leak(): Promise<string[]> {
  const before: plimsoll.heap.Heap = await plimsoll.heap.open('before.heapsnapshot')
  const after = await plimsoll.heap.open('after.heapsnapshot', { roots: 'gc' })
  const diff: plimsoll.HeapDiff = await before.diff(after, { final: after })
  const { id, dominator }: plimsoll.HeapObject = (await after.summary()).biggest[0]
  const parent: number | null = dominator
  const paths: plimsoll.HeapPath[] = [await after.path(id), await after.path('Session')]
  const rows: plimsoll.HeapDominator[] = await after.dominators({ threshold: 5, depth: 3 })
  const retainers: plimsoll.HeapReference[] = (await after.object(id)).retainers
  await before.close()
  return [...diff.classes[0].path, paths[0].text, `${rows[0].depth} ${retainers.length} ${parent}`]
}
// @ts-expect-error: there are no other roots
plimsoll.heap.open('a.heapsnapshot', { roots: 'all' })
leak()

async function doesItLeak(): Promise<string> {
  const options: plimsoll.SoakOptions = {
    routes: [
      'GET /users/:id',
      { route: 'POST /carts/:id', path: i => `/carts/${i}`, body: { a: 1 }, status: [201, 409] }
    ],
    max: '100b',
    execArgv: ['--import', 'tsx']
  }
  const result: plimsoll.SoakResult = await plimsoll.soak(new URL('file:///app.js'), options)
  const [{ quantities, classes, sites }] = result.routes
  const low: number | null | undefined = quantities.heap?.low
  return result.verdict === 'failed' ? `${low} ${sites[0].origin} ${classes[0].path.join(' ')}` : String(result)
}
// @ts-expect-error: the app runs in a process of its own
plimsoll.soak(() => {}, { routes: ['GET /'] })
// @ts-expect-error: there are no such statuses
plimsoll.soak('app.js', { routes: [{ route: 'GET /', status: 'any' }] })
doesItLeak()

const config: Config = { name: 'shop', watch: true, limit: { limit: '1mb' }, shed: true, metrics: { port: 9464 } }
const off: Config = { limit: false, shed: false, metrics: '/metrics' }
// @ts-expect-error: the port is a number
const wrong: Config = { metrics: { port: '9464' } }
// @ts-expect-error: no such option
const unknown: Config = { limits: '1mb' }
void [config, off, wrong, unknown]
