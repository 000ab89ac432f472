/// <reference types="node" />

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type * as shapes from './lib/types/index'

// Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch, everywhere below.

/**
 * Middleware that tracks every request: what it allocates, how long it takes, how it ends. Put it first.
 *
 * JavaScript retains nothing per finished request. All figures are in the *recorder*, a memory-mapped file of constant size that
 * outlives `SIGKILL` and the OOM killer. Read it with {@link plimsoll.stats}, {@link plimsoll.metrics}, or from outside with
 * `npx plimsoll show`.
 *
 * The first call in a thread starts the recording, and its options win; a later call with others warns once. Where no
 * binary loads, the middleware passes every request through, and one warning says which platform was wanted.
 *
 * @throws {TypeError} for an option that it does not know or take; the message names the option, the value and what is allowed.
 * @example app.use(plimsoll())
 */
declare function plimsoll(options?: plimsoll.Options): plimsoll.Handler

declare namespace plimsoll {
  /** Middleware for Express 4 and 5, connect, and plain `http` (with a `next` of your own). */
  type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

  interface Options {
    /**
     * Processes of one name that were started from the same script belong together: metrics cover all that live, and a server reports the last one
     * that died. 1 to 64 bytes. Default: `PLIMSOLL_NAME`, else the `name` in the nearest package.json above the script, else the current folder's name.
     */
    name?: string
    /** Where plimsoll speaks: `console`, pino, winston. Default: warnings go to `process.emitWarning`, nothing else. */
    log?: Log
    /**
     * What of a request's URL is recorded until its route is known. `'masked'`: the path without the query string. A segment stays
     * if it looks like a word of a route: at most 32 lower-case letters, digits, `-`, `_` and `.`, at most 3 of them digits, and at most
     * 16 letters a word. Other segments become `*`. `'full'`: the whole URL. Default: `'masked'`.
     */
    urls?: 'masked' | 'full'
    /**
     * `dir`: an existing folder for the recorder's file. Default: `PLIMSOLL_DIR`, else `/dev/shm`, else the temporary folder.
     * `false` keeps the record in memory only: everything works but `show` and the post-mortem.
     */
    recorder?: { dir?: string } | false
    /**
     * Whether the allocations of a request's promises, timers, streams and callbacks are charged to it. `true`: always, for diagnosis.
     * `false`: synchronous code only. `'sampled'`: in windows, at a cost of less than 2 % of the process's CPU time. Needs the exact probe.
     * Default: `'sampled'`.
     */
    async?: 'sampled' | boolean
    /** Whether each function of the app's stack gets its own bytes and time, in {@link RouteStats.layers}. Default: false. */
    layers?: boolean
    /**
     * Whether responses that are built in memory and sent in one piece become a {@link Finding} of kind `large-response`, a route and
     * place each: `true` from 1 MiB on, or the size to look from. Default: false.
     */
    largeResponses?: boolean | { over?: Size }
    /**
     * What requests leave behind, as {@link Finding}s: `true` for all of {@link WatchOptions}. Default: false.
     */
    watch?: boolean | WatchOptions
    /** Appends heap statistics to a file, from a thread of its own. Default: none. */
    stats?: StatsFileOptions
    /**
     * What V8 is granted, once, when the heap is at its limit and it would end the process: time for {@link shed} to refuse and for the
     * app to drain. At most half of the limit; never again within a minute, and taken back when there is room. Main thread
     * only; off beside `--heapsnapshot-near-heap-limit`. `false`: nothing. Default: `{ reserve: '5%' }` of the heap limit.
     */
    nearLimit?: { reserve?: Size | `${number}%` } | false
    /**
     * Leak detection: `stats().trend`, and a {@link Finding} of kind `leak`. It runs on a thread of its own, after major collections, and asks V8 for
     * collections if there are few. Needs the exact probe. Default: true, without snapshots.
     *
     * `sites`: searches the function that allocates what stays, with V8's sampling heap profiler, for some minutes. Off while another tool uses that
     * profiler. Default: true.
     *
     * `snapshots`: once a leak is confirmed, takes two heap snapshots ({@link plimsoll.snapshot}) and compares them in another process. The finding then
     * names the class and the retaining path. Needs Linux with glibc and the main thread. `dir`: folder for the files, by default a private one. `keep`: the
     * files stay, and the finding names them. Default: false.
     */
    leaks?: boolean | { trend?: boolean; sites?: boolean; snapshots?: boolean | { dir?: string; keep?: boolean } }
    /**
     * A signal on which a heap snapshot is taken ({@link plimsoll.snapshot}, into the current folder). No default: process managers use
     * SIGUSR2 for a restart.
     */
    snapshotSignal?: NodeJS.Signals
  }

  /** Each is off unless it is named, or all are asked for with `watch: true`. What one call has switched on stays on. */
  interface WatchOptions {
    /**
     * Requests that stay alive after their end (kind `retained`). At most twenty a second are sampled through weak handles: whether they are alive two
     * major collections and five seconds later. A finding if their number grows with requests. Needs a binary. Default: false.
     */
    retained?: boolean
    /**
     * Properties of `req`, `res`, `res.locals` and `req.session` that are large at the end of a request (kind `large-property`), with the layer that set them: the size to look from, 1 MiB by
     * default. Of at most ten requests a second, by an estimate of at most 0.3 ms a property. The body and files of a request are not looked at, nor what
     * requests share.
     */
    largeProperties?: boolean | Size
    /**
     * Intervals, and time-outs of 30 s and more, that requests set and that are armed after their end (kind `timer`), if they grow with requests. Wraps the
     * global `setInterval` and `setTimeout`. Default: false.
     */
    timers?: boolean
    /** Files and upstream answers that are piped into a response and stay open when the client goes away (kind `stream`). */
    streams?: boolean
  }

  /** `console`, pino and winston are such. */
  interface Log {
    info(message: string): void
    warn(message: string): void
    error(message: string): void
  }

  /**
   * One JSON object a line, written natively: the event loop does no I/O for it. A file that cannot be written is one event in
   * the record, and is tried again with growing pauses; the app does not feel it.
   */
  interface StatsFileOptions {
    /** Path of the file; rotated ones are `file.1` (the newest), `file.2`, … */
    file: string
    /** Milliseconds between lines, 100 to 3,600,000. Default: 10,000. */
    intervalMs?: number
    /** The file is rotated when it would grow over this size: bytes or a {@link Size}, at least 4 KiB. Default: `'10mb'`. */
    maxBytes?: Size
    /** How many rotated files are kept, 0 to 1,000. Default: 5. */
    keep?: number
  }

  /**
   * Middleware that refuses request bodies over the limit, in front of every parser: a declared length before any byte is read, any
   * other body at the first byte too many. Exactly the limit passes. Works without a binary, too.
   *
   * The refusal is a {@link TooLargeError}, an {@link OverBudgetError} or a {@link TooSlowError}, handed to `next` where the chain has not
   * gone on, otherwise to the consumer of the body.
   *
   * @throws {TypeError} for what is no {@link Limits}, and for an option that it does not know or take.
   * @example
   * app.use(plimsoll.limit('10mb'))
   * app.use(plimsoll.limit({ 'application/json': '1mb', 'multipart/form-data': '1gb', default: '100kb' }))
   * app.use(plimsoll.limit({ limit: '1mb', routes: { 'POST /uploads/:id': '1gb' }, budget: '2gb', minRate: '1kb' }))
   */
  function limit(limit: Limits | LimitOptions): Handler

  /**
   * Lets a server's `100 Continue` wait for the app: it is sent when a consumer begins to read the body. What is refused until then, by
   * {@link limit} or by a guard of the app's own, is never uploaded by clients that ask first (`Expect: 100-continue`, as curl does). A
   * successful answer (2xx) sends it first, and so does a request without a body, as Node does. On a
   * server with a `checkContinue` listener of its own it does nothing. Returns the server.
   *
   * @throws {TypeError} if it is no server of `node:http`, `https` or `http2`.
   * @example plimsoll.attach(app.listen(3000))
   */
  function attach<Server extends import('node:net').Server>(server: Server): Server

  /**
   * Middleware that refuses new requests with 503 and a jittered `Retry-After` before the process sinks: by the live heap
   * (garbage is no pressure) over the old generation's limit, RSS over the container's limit, the event loop's delay, and
   * plimsoll's own native memory. A request reads one number; the rest is done by a timer and in V8's collection callbacks.
   *
   * Of each pair of marks the lower is where refusing begins and the upper where it is complete: between them a request is
   * refused with a probability that rises from 0 to 1. A signal that was at its upper mark lets go within ten seconds below it,
   * and at once below the lower. After ten seconds at full, one request in fifty is let through, to find out.
   *
   * The refusal is an {@link OverloadedError}, handed to `next`. Without a binary all requests pass.
   *
   * @throws {TypeError} for an option that it does not know or take: marks out of order, an unknown priority, an `exempt` that is neither
   * paths nor a function.
   * @example app.use(plimsoll.shed())
   */
  function shed(options?: ShedOptions): Handler

  /**
   * Handler for a readiness probe: 503 while any {@link shed} of this thread refuses (those that only report do not count),
   * else 200. Liveness is not its matter: a server that sheds lives.
   *
   * @example app.get('/readyz', plimsoll.ready())
   */
  function ready(): (req: IncomingMessage, res: ServerResponse) => void

  /**
   * Middleware that reads request bodies whatever their size: up to `memory` bytes into native memory (none of it V8's or a buffer's), past
   * it into a file without a name in `dir`, which nothing can leave behind, not even `SIGKILL`. `req.body` is then a {@link Spooled}.
   *
   * Threads of plimsoll's own write, not libuv's pool, and the socket is not read while they lag: what a body holds at once is bounded whatever
   * its size and however slow the disk, and so is what all hold together. A {@link limit} in front holds as ever.
   *
   * Bodies are spooled as they come: a `Content-Encoding` is not undone. A request without a body is left as it is (one with
   * `Content-Length: 0` has a `Spooled` of size 0), and so is one that a parser in front has read.
   *
   * What goes through `next`: a {@link SpoolError} where the disk is full (507) or fails (500), which the client hears as it does a limit's;
   * body-parser's `request.aborted` (400) where the client went away; 501 without a binary, for every body.
   *
   * @throws {TypeError} for an option that it does not know or take, and for a `dir` that is not there or cannot be written.
   * @example app.post('/videos', plimsoll.spool(), async (req, res) => { await req.body.moveTo('/srv/videos/1'); res.end() })
   */
  function spool(options?: SpoolOptions): Handler

  /**
   * Middleware that gives each request a {@link Scope}, as `req.scope` and by {@link scope.of}: what is tied to it ends with the request,
   * finished, aborted or failed. A request that never asks for its scope has none made. Works without a binary.
   *
   * In TypeScript, `import 'plimsoll/express'` declares `req.scope` for Express 4 and 5.
   *
   * @throws {TypeError} for an option that it does not know or take.
   * @example app.use(plimsoll.scope())
   */
  function scope(options?: ScopeOptions): Handler

  namespace scope {
    /**
     * The scope of a request, without `req.scope` in Express's types, and if another middleware has set a `req.scope` of its own (which stays).
     * @throws {Error} for a request that has not passed {@link plimsoll.scope}.
     */
    function of(req: IncomingMessage): Scope
  }

  interface ScopeOptions {
    /** Milliseconds that a disposer's promise is waited for before the next is called. Default: 1,000. */
    waitMs?: number
  }

  /**
   * What ends with its request. After that end every use throws an `Error` whose `code` is `'ERR_PLIMSOLL_SCOPE_OVER'`. An argument that arrives too late
   * is disposed of before it throws.
   */
  interface Scope {
    /**
     * Calls `fn` at the end of the request, once; last in, first out, each after the one before it has settled. One that throws, rejects or
     * does not settle within {@link ScopeOptions.waitMs} is a {@link Finding} of kind `disposer`, and holds up no other.
     */
    defer(fn: () => unknown): void
    /**
     * Closes a resource at the end of the request, as {@link defer} does, and returns it: by `dispose(resource)` or else the first that it has of `release`,
     * `[Symbol.asyncDispose]`, `[Symbol.dispose]`, `close`, `end`, `destroy`, `disconnect`. Streams are destroyed.
     * @throws {TypeError} for something that has no such way.
     * @example const client = req.scope.use(await pool.connect())
     */
    use<T extends object>(resource: T, dispose?: (resource: T) => unknown): T
    /** Puts a value into the request's store, which is emptied at its end. */
    set(key: unknown, value: unknown): this
    get<T = unknown>(key: unknown): T | undefined
    has(key: unknown): boolean
    /**
     * Pipes streams into each other, the last into the response, and destroys all of them when the client goes away. Resolves when all is written,
     * and when the client went away; rejects with any other error, after which the response is destroyed. Need not be awaited.
     * @example await req.scope.pipe(fs.createReadStream(file), zlib.createGzip(), res)
     */
    pipe(...streams: [NodeJS.ReadableStream, ...NodeJS.ReadWriteStream[], NodeJS.WritableStream]): Promise<void>
    /** Aborts when the client goes away before the response is complete. */
    readonly signal: AbortSignal
    /** A signal that aborts after `ms` milliseconds (reason: a `TimeoutError`), or as {@link signal} does. */
    timeout(ms: number): AbortSignal
  }

  /**
   * Watches a pool of pg (8.10 or later), mysql2 or mysql, generic-pool, tarn, or a knex instance: a connection that was taken in the code of a
   * request and not given back `grace` milliseconds after its response has ended is a {@link Finding} of kind `unclosed`, with the route and the place where it was
   * taken. Also one that comes when the request has given up waiting for it. Returns the pool; a second call for it changes nothing.
   *
   * @throws {TypeError} for what is none of these, and for an option that it does not know or take.
   * @example const pool = plimsoll.watchPool(new pg.Pool())
   */
  function watchPool<T extends object>(pool: T, options?: WatchPoolOptions): T

  interface WatchPoolOptions {
    /** Milliseconds, 0 to 3,600,000, that a connection may be in use after the end of its response. Default: 1,000. */
    grace?: number
    /** Whether it is then taken back and closed (it may be in the middle of a transaction). Default: false. */
    reclaim?: boolean
  }

  /**
   * Watches what outlives requests for listeners that they add and leave there: `process`, servers, their keep-alive sockets, AbortSignals, and
   * `emitters` (one, several, or an object of them by name; an `EventEmitter` or `EventTarget` each). What grows with requests is a {@link Finding} of kind
   * `listener`: which emitter and event, where it is added, how many. Listeners that are added outside of requests are no leak, however many.
   *
   * Node's `MaxListenersExceededWarning` for one of them is followed by where all of its listeners were added: a finding where requests left
   * some, else a line of {@link Options.log}.
   *
   * @throws {TypeError} for what has no listeners.
   * @example plimsoll.watchListeners({ bus, redis })
   */
  function watchListeners(emitters?: Listened | readonly Listened[] | { readonly [name: string]: Listened }): void

  type Listened = import('node:events').EventEmitter | EventTarget

  /**
   * Declares that nothing should retain `object` any more: if it is alive two major collections and five seconds later, that is a
   * {@link Finding} of kind `retained`, with this `label` (1 to 64 bytes) and the place of the call. It is watched weakly; at most 256 are at a time, together with the
   * requests that `plimsoll({ watch })` watches. Without a binary nothing is.
   *
   * @throws {TypeError} for what is neither an object nor a function, and for a wrong label.
   * @example plimsoll.expectCollected(session, 'session after logout')
   */
  function expectCollected(object: object, label: string): void

  /**
   * Calls `listener` with each {@link Finding} when it is new; `stats().findings` goes on counting it. One of kind `leak` is reported again when its allocation site is
   * known, when its class and path are known, and when it has stopped, with `withdrawnAt`. The same as `plimsoll:finding` of
   * `node:diagnostics_channel`. A listener that throws is counted as an internal error.
   * @throws {TypeError} for another event, and for what is no function.
   */
  function on(event: 'finding', listener: (finding: Finding) => void): void
  /** Takes back {@link on}. */
  function off(event: 'finding', listener: (finding: Finding) => void): void

  /**
   * Everything that is known of this process (in a worker thread: of this thread) and its routes, as a plain object.
   * Starts the recording if nothing has yet. Without a binary: what Node reports, with `heap.exact: false` and a `heap.reason`.
   */
  function stats(): Stats

  /**
   * What this request has used so far. `undefined` once it has ended, where it is not tracked, and without a binary.
   * @example app.use((req, res, next) => { res.on('finish', () => console.log(plimsoll.usage(req))); next() })
   */
  function usage(req: IncomingMessage): Usage | undefined

  /**
   * Names the route of a request by hand: for handlers that no router of Express leads to (GraphQL, LoopBack, plain `http`), or where
   * you know a better name. It wins over what Plimsoll has seen. Call it at any time before the request ends, before or after
   * `plimsoll()`; the last call counts.
   *
   * A method in front of the path is dropped: figures have the request's own. A label is one line of at most 200 characters: a longer one is cut,
   * and a control character is shown as U+FFFD. An empty label changes nothing.
   *
   * Use names that the server knows (a pattern, the operations of a schema), never a client's text. A process takes 1,024 names; every
   * further one is counted as `(other)`, also that of a request that comes later.
   *
   * @throws {TypeError} for a request that is none, and a label that is no string.
   * @example plimsoll.route(req, 'GET /orders/{id}')
   * @example plimsoll.route(req, operations.has(operationName) ? `graphql ${operationName}` : 'graphql')
   */
  function route(req: IncomingMessage | Http2ServerRequest, label: string): void

  /**
   * Where is my RSS? The resident set of the process in disjoint parts that add up to it, each with what it means and, where something is
   * to be done, advice. Read on a thread of its own (30 ms at 450 MB, 170 ms at 1 GB); V8's and buffers' figures are those of the calling thread.
   * Calls that overlap share one reading. Without a binary: what Node reports.
   *
   * For an explicit call, not for a timer or a scrape: glibc's `mallinfo2` holds the locks of malloc while it walks what is free
   * (150 ms were measured at 730 MB of fragments), and allocations wait meanwhile. Rejects with a `TypeError` if an argument is given.
   *
   * @example for (const { name, bytes, advice } of (await plimsoll.memory()).parts) console.log(name, bytes, advice ?? '')
   */
  function memory(): Promise<Memory>

  /**
   * Gives back to the system what glibc's malloc (`malloc_trim`) and plimsoll's own (jemalloc's purge) hold free, on a thread of its own,
   * and says how much that was. An event `trim` goes into the record. There is one trim at a time: a call while one runs gets its
   * promise, and one from another worker thread waits for its turn.
   *
   * For an explicit call, not for a timer: malloc's locks are held meanwhile (132 ms at 730 MB of fragments), and what was given
   * back is fetched again when it is needed. Rejects with an `Error` without a binary, with a `TypeError` if an argument is given.
   */
  function trim(): Promise<Trimmed>

  /** Reading heap snapshots. */
  namespace heap {
    /**
     * Reads and analyses a `.heapsnapshot`, plain, gzip or zstd, natively and on other threads: 500 MB take some seconds, and about as much
     * memory as the file has bytes until {@link Heap.close}.
     *
     * Rejects with an `Error` for what is no whole snapshot (the message has the byte) and without a binary, with a `TypeError`
     * for a wrong argument.
     *
     * @example
     * const before = await plimsoll.heap.open('before.heapsnapshot')
     * const after = await plimsoll.heap.open('after.heapsnapshot')
     * const [{ name, added, path }] = (await before.diff(after)).classes
     */
    function open(path: string, options?: OpenOptions): Promise<Heap>

    interface OpenOptions {
      /**
       * What memory is retained from: `'devtools'`, the global objects, as in Chrome DevTools; `'gc'`, V8's own roots and all that they reach,
       * as in memlab. Default: `'devtools'`.
       */
      roots?: 'devtools' | 'gc'
    }

    /** A snapshot that is open. After {@link Heap.close} all others reject. */
    interface Heap {
      summary(): Promise<HeapSummary>
      /**
       * What came and went from this snapshot to `after`, by class. With `final`, only what was made between the two and is in that as
       * well: what one round of work has left behind. All must be of one process.
       */
      diff(after: Heap, options?: { final?: Heap }): Promise<HeapDiff>
      /** The shortest path from a root to an object, by its id, or to the one of a class that retains most, by its name. */
      path(target: HeapObjectId | string): Promise<HeapPath>
      /**
       * The dominator tree from the root. `threshold`: least percent of the heap that a node must retain, default 1;
       * `depth`: how far down, default 10.
       */
      dominators(options?: { threshold?: number; depth?: number }): Promise<HeapDominator[]>
      object(id: HeapObjectId): Promise<HeapObjectDetail>
      /** Frees the memory, and resolves when that is done. Once more does nothing. */
      close(): Promise<void>
    }
  }

  /**
   * Takes a heap snapshot of the main thread, for `npx plimsoll heap`, Chrome DevTools and memlab. By default a forked child takes
   * it, at a moment without a major collection. The server is paused for the fork only, and continues while the child works at the lowest priority. Stuck
   * children are ended and it is tried again, four times in total. The file gets its name when it is whole, and only its owner may read it:
   * it holds every string of the process. One at a time. An event `snapshot` goes into the record.
   *
   * Rejects with an error of the code `ERR_PLIMSOLL_SNAPSHOT` that says why: not enough memory (six times the heap must be
   * free), no Linux with glibc, a worker thread, a full disk. No partial file remains.
   *
   * @example const { path } = await plimsoll.snapshot({ compress: 'zstd' })
   */
  function snapshot(options?: SnapshotOptions): Promise<Snapshot>

  interface SnapshotOptions {
    /** The file, or a folder for one named as V8 does. Default: the current folder. */
    path?: string
    /** `'stop'`: V8 writes it here, and nothing else runs meanwhile: tens of seconds for some hundred megabytes. Default: `'fork'`. */
    mode?: 'fork' | 'stop'
    /** Default: none. */
    compress?: 'zstd'
  }

  /**
   * Handler that answers with all figures as Prometheus text, or as OpenMetrics where `Accept` prefers that. Rendered in Rust, on a
   * thread of its own, one at a time; handlers with the same options share a rendering for a second. Answers 503 without a binary.
   *
   * @throws {TypeError} for an option that it does not know or take.
   * @example app.get('/metrics', plimsoll.metrics())
   */
  function metrics(options?: MetricsOptions): Handler

  namespace metrics {
    /**
     * The same as a string, for a registry of your own. Rejects with a `TypeError` for a wrong option, with an `Error` without a
     * binary.
     */
    function text(options?: MetricsTextOptions): Promise<string>
  }

  interface MetricsOptions {
    /** Leaves out the names that prom-client exports already. Default: all. */
    only?: 'plimsoll'
    /**
     * `'all'`: every live server of the same `name` and script (cluster, PM2), read from their records, with what replaced workers had counted;
     * `'process'`: this one. Default: `'all'`.
     */
    scope?: 'process' | 'all'
    /**
     * What has buckets by route: `'latency'`, `http_request_duration_seconds` alone; `'all'`, also heap, body and response bytes; `'none'`,
     * nothing. The others have `_sum` and `_count` under the same names. Default: `'latency'`, under 300 KB at 150 routes.
     */
    histograms?: 'none' | 'latency' | 'all'
    /**
     * Upper bounds of the latency histogram in seconds, out of those that the record counts by: 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
     * 0.25, 0.5, 1, 2.5, 5, 10, 60. Default: 0.01, 0.1, 0.5, 2.5; all with `histograms: 'all'`.
     */
    buckets?: readonly number[]
  }

  interface MetricsTextOptions extends MetricsOptions {
    /** OpenMetrics instead of Prometheus text. Default: false. */
    openmetrics?: boolean
  }

  /**
   * The newest death of a server of the same name and script that no start had reported before this one, read from the record that it
   * left; `null` if there is none, in worker threads, and without a binary. In a process that is not a server it only reads: the next server
   * still reports the death. An ordinary stop (`cause: 'stop'`) is returned where there is nothing worse.
   */
  function lastDeath(): Death | null

  /** Does an app leak? Drives its routes in a process of its own; for CI: `assert.equal(result.verdict, 'passed', String(result))`. */
  const soak: shapes.Soak

  // What they take, return and publish: see lib/types/.
  type Priority = shapes.Priority
  type ShedOptions = shapes.ShedOptions
  type SpoolOptions = shapes.SpoolOptions
  type Spooled = shapes.Spooled
  type SoakOptions = shapes.SoakOptions
  type SoakResult = shapes.SoakResult
  type SoakError = shapes.SoakError
  type EncodingError = shapes.EncodingError
  type TooLargeError = shapes.TooLargeError
  type OverBudgetError = shapes.OverBudgetError
  type TooSlowError = shapes.TooSlowError
  type OverloadedError = shapes.OverloadedError
  type SpoolError = shapes.SpoolError
  type LimitMessage = shapes.LimitMessage
  type ShedMessage = shapes.ShedMessage
  type NearLimitMessage = shapes.NearLimitMessage
  type BlockedMessage = shapes.BlockedMessage
  type Size = shapes.Size
  type Limits = shapes.Limits
  type LimitsByType = shapes.LimitsByType
  type LimitOptions = shapes.LimitOptions
  type BudgetOptions = shapes.BudgetOptions
  type InflateOptions = shapes.InflateOptions
  type LingerOptions = shapes.LingerOptions
  type Unsupported = shapes.Unsupported
  type Memory = shapes.Memory
  type MemoryPart = shapes.MemoryPart
  type MemoryPartName = shapes.MemoryPartName
  type Trimmed = shapes.Trimmed
  type Snapshot = shapes.Snapshot
  type HeapSummary = shapes.HeapSummary
  type HeapClass = shapes.HeapClass
  type HeapLocation = shapes.HeapLocation
  type HeapObjectId = shapes.HeapObjectId
  type HeapObject = shapes.HeapObject
  type HeapObjectDetail = shapes.HeapObjectDetail
  type HeapReference = shapes.HeapReference
  type HeapPath = shapes.HeapPath
  type HeapDominator = shapes.HeapDominator
  type HeapDiff = shapes.HeapDiff
  type Distribution = shapes.Distribution
  type Usage = shapes.Usage
  type RouteStats = shapes.RouteStats
  type LayerStats = shapes.LayerStats
  type Stats = shapes.Stats
  type Pressure = shapes.Pressure
  type Finding = shapes.Finding
  type Trends = shapes.Trends
  type Trend = shapes.Trend
  type InFlight = shapes.InFlight
  type Sample = shapes.Sample
  type LiveHeap = shapes.LiveHeap
  type Collection = shapes.Collection
  type RecordEvent = shapes.RecordEvent
  type Record = shapes.Record
  type Death = shapes.Death
}

export = plimsoll
