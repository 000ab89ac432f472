/// <reference types="node" />

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type * as shapes from './lib/types/index'

// Units in all types: sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.
// "Without a binary": the native addon could not be loaded. "Exact allocation counter": see `heap.exact` in `Stats`.

/**
 * Returns middleware that records every request: what it allocates, how long it takes and how it ends. Mount it first.
 *
 * All figures are in the record, which is memory-mapped and has a fixed size. JavaScript retains nothing per finished request. The
 * record outlives `SIGKILL` and the OOM killer. Read it with {@link plimsoll.stats} or {@link plimsoll.metrics}, or from outside
 * with `npx plimsoll show`.
 *
 * The first call in a thread starts the recording, and its options apply. A later call with other options changes nothing and emits
 * a warning. Only `watch` of a later call is added.
 *
 * Without a binary, all requests pass and one warning names the reason.
 *
 * @throws {TypeError} for an unknown or invalid option. The message names the option, the value and what is allowed.
 * @example app.use(plimsoll())
 */
declare function plimsoll(options?: plimsoll.Options): plimsoll.Handler

declare namespace plimsoll {
  /** Middleware for Express 4 and 5, connect, and plain `http` with a `next` of your own. */
  type Handler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void

  interface Options {
    /**
     * Name of the service, 1 to 64 bytes. Default: `PLIMSOLL_NAME`, otherwise the `name` in the nearest package.json above the
     * script, otherwise the name of the current folder.
     *
     * Processes with the same name and the same script belong together. Metrics cover all of them that are alive. A new server
     * reports the last one that died.
     */
    name?: string
    /** Logger for warnings and errors: `console`, pino or winston. Default: none; warnings go to `process.emitWarning`. */
    log?: Log
    /**
     * Form in which a URL is recorded until its route is known. `'full'`: the whole URL. `'masked'`: the path without the query,
     * with `*` instead of segments that may be secret. Default: `'masked'`.
     *
     * A segment is not masked if all of these hold:
     *
     * 1. It has only lower-case letters (a to z), digits, `-`, `_` and `.`.
     * 2. It has at most 32 characters and at most 3 digits.
     * 3. Each word between `-`, `_` and `.` has at most 16 letters, and digits at one end only.
     */
    urls?: 'masked' | 'full'
    /**
     * Where the record is stored. `dir`: an existing folder for its file. Default: `PLIMSOLL_DIR`, otherwise `/dev/shm`, otherwise
     * the temporary folder.
     *
     * `false`: the record is in memory only, so `npx plimsoll show` and the report of the last death do not work.
     */
    recorder?: { dir?: string } | false
    /**
     * Charges allocations of promises, timers, streams and callbacks to their request. Default: `'sampled'`.
     *
     * `'sampled'`: in time windows, which cost less than 2 % of the process's CPU time. `true`: always, for diagnosis. `false`:
     * only synchronous code is charged. Needs the exact allocation counter.
     */
    async?: 'sampled' | boolean
    /** Records bytes and time of each function of the Express stack, in {@link RouteStats.layers}. Default: false. */
    layers?: boolean
    /**
     * Reports large responses that are built in memory and sent in one piece, as a {@link Finding} of kind `large-response` per
     * route and call site. `true`: from 1 MiB. `over`: from that size. Default: false.
     */
    largeResponses?: boolean | { over?: Size }
    /** Reports what requests leave after their end, as {@link Finding}s. `true`: all of {@link WatchOptions}. Default: false. */
    watch?: boolean | WatchOptions
    /** Appends heap statistics to a file, from a thread of its own. Default: none. */
    stats?: StatsFileOptions
    /**
     * Grants V8 more heap when it reaches its limit and would end the process. {@link shed} can then refuse requests, and the app
     * can drain. Default: `{ reserve: '5%' }`. `false`: none.
     *
     * `reserve`: a size, or a share of the heap limit, at most 50 %. V8 gets no second reserve within a minute. The limit returns
     * to its old value when there is room.
     *
     * Main thread only. Needs the exact allocation counter. Off with a flag `--heapsnapshot-near-heap-limit` or
     * `--heap-prof-near-heap-limit`, because V8 asks only one callback.
     */
    nearLimit?: { reserve?: Size | `${number}%` } | false
    /**
     * Leak detection: `stats().trend`, and a {@link Finding} of kind `leak`. Default: true. `false`, or
     * `trend: false`, switches all of it off: `sites` and `snapshots` need the trend.
     *
     * It runs on a thread of its own after major collections, and asks V8 for a collection if there are few. Needs the exact
     * allocation counter.
     *
     * `sites`: finds the function that allocates what stays. It uses V8's sampling heap profiler for some minutes. Default: true.
     * Off while another tool uses that profiler.
     *
     * `snapshots`: once a leak is confirmed, takes two heap snapshots ({@link plimsoll.snapshot}) and compares them in another
     * process. The finding then names what retains the objects, the function that adds to it, and the class. Default: true where it
     * is possible: Linux with glibc, the main thread. It is skipped without twice the memory that it is expected to need, under
     * pressure of {@link plimsoll.shed}, and near the heap limit.
     *
     * `snapshots.dir`: folder for the snapshot files. Default: a private folder. `snapshots.keep`: `true` retains the files, and
     * the finding names them. Default: false.
     */
    leaks?: boolean | { trend?: boolean; sites?: boolean; snapshots?: boolean | { dir?: string; keep?: boolean } }
    /**
     * Signal on which a heap snapshot is written to the current folder, see {@link plimsoll.snapshot}. Main thread only. Default:
     * none, because process managers use `SIGUSR2` for a restart.
     */
    snapshotSignal?: NodeJS.Signals
  }

  /**
   * Watchers. `watch: true` switches all of them on; an object switches on those that it names. A watcher that one call has
   * switched on stays on.
   */
  interface WatchOptions {
    /**
     * Reports requests that stay alive after their end (kind `retained`), if their number grows with requests. Default: false.
     * Needs a binary.
     *
     * At most twenty requests per second are sampled through weak handles. They are checked two major collections and five seconds
     * after their end.
     */
    retained?: boolean
    /**
     * Reports large properties of `req`, `res`, `res.locals` and `req.session` at the end of a request (kind `large-property`),
     * with the layer that set them. `true`: from 1 MiB. A size: from that size. Default: false.
     *
     * At most ten requests per second are sampled. The estimate of a property takes at most 0.3 ms. The request's body and files,
     * and what requests share, do not count.
     */
    largeProperties?: boolean | Size
    /**
     * Reports intervals, and time-outs of 30 s or more, that requests set and that are still armed after their end (kind `timer`),
     * if their number grows with requests. Default: false. Wraps the global `setInterval` and `setTimeout`.
     */
    timers?: boolean
    /**
     * Reports files and upstream responses that were piped into a response and stay open after the client has disconnected (kind
     * `stream`). Default: false.
     */
    streams?: boolean
  }

  /** Logger, such as `console`, pino or winston. */
  interface Log {
    info(message: string): void
    warn(message: string): void
    error(message: string): void
  }

  /**
   * Options of the statistics file. Each line is one JSON object. A native thread writes it, so the event loop does no I/O.
   *
   * If the file cannot be written, the record gets one event and one warning is emitted. Plimsoll tries again after growing pauses.
   */
  interface StatsFileOptions {
    /** Path of the file. Rotated files are `file.1` (the newest), `file.2`, … */
    file: string
    /** Milliseconds between lines, 100 to 3,600,000. Default: 10,000. */
    intervalMs?: number
    /** Size at which the file is rotated, at least 4 KiB. Default: `'10mb'`. */
    maxBytes?: Size
    /** Number of rotated files that are not deleted, 0 to 1,000. Default: 5. */
    keep?: number
  }

  /**
   * Returns middleware that refuses request bodies over a limit, in front of every parser. It works without a binary too.
   *
   * A declared length over the limit is refused before any byte is read. Any other body is refused when it exceeds the limit. A
   * body of exactly the limit passes.
   *
   * The error is a {@link TooLargeError}, an {@link OverBudgetError}, a {@link TooSlowError} or an {@link EncodingError}. It goes
   * to `next`. Once a handler reads the body, it goes to the consumer of the body instead.
   *
   * @throws {TypeError} for an unknown or invalid option.
   * @example
   * app.use(plimsoll.limit('10mb'))
   * app.use(plimsoll.limit({ 'application/json': '1mb', 'multipart/form-data': '1gb', default: '100kb' }))
   * app.use(plimsoll.limit({ limit: '1mb', routes: { 'POST /uploads/:id': '1gb' }, budget: '2gb', minRate: '1kb' }))
   */
  function limit(limit: Limits | LimitOptions): Handler

  /**
   * Delays a server's `100 Continue` until a consumer begins to read the body. Returns the server.
   *
   * A client that asks first (`Expect: 100-continue`, as curl does) then uploads nothing of a body that is refused before. This
   * works for {@link limit} and for guards of your own.
   *
   * A successful answer (2xx) sends `100 Continue` first, and so does a request without a body, as in Node. `attach()` does nothing
   * on a server that has its own `checkContinue` listener.
   *
   * @throws {TypeError} for a value that is not a server of `node:http`, `https` or `http2`.
   * @example plimsoll.attach(app.listen(3000))
   */
  function attach<Server extends import('node:net').Server>(server: Server): Server

  /**
   * Returns middleware that refuses new requests with 503 and a random `Retry-After` while the process is under pressure. Without a
   * binary, all requests pass.
   *
   * Four signals are compared with marks: the live heap, RSS, the event-loop delay, and memory of the addon. Garbage on the heap
   * does not count. Between the lower and the upper mark, the probability of a refusal rises from 0 to 1.
   *
   * A signal that was at its upper mark recovers within ten seconds below it, and at once below the lower mark. After ten seconds
   * at full pressure, one request in fifty passes, so that recovery can be detected.
   *
   * A request only compares one number. A timer and V8's collection callbacks update it.
   *
   * The error is an {@link OverloadedError}. It goes to `next`.
   *
   * @throws {TypeError} for an unknown or invalid option, such as a lower mark above the upper one.
   * @example app.use(plimsoll.shed())
   */
  function shed(options?: ShedOptions): Handler

  /**
   * Returns a handler for a readiness probe. It answers 503 while any {@link shed} of this thread refuses requests, and 200
   * otherwise. A `shed()` with `report: true` does not count. Without a binary it always answers 200.
   *
   * Do not use it for liveness: a server that sheds is alive.
   *
   * @example app.get('/readyz', plimsoll.ready())
   */
  function ready(): (req: IncomingMessage, res: ServerResponse) => void

  /**
   * Returns middleware for large request bodies. It reads the body up to `memory` bytes into native memory, and a larger one into a
   * file in `dir`. `req.body` is then a {@link Spooled}.
   *
   * The file has no name, so no file remains even after `SIGKILL`. Where nameless files do not exist (NFS, some overlay file
   * systems, macOS), it has a random name until it is open. On Windows, a body over `memory` is a 500.
   *
   * Memory is bounded for each body and for all bodies together, however slow the disk is. Plimsoll's own threads write the file,
   * not libuv's pool. The socket is paused while they lag.
   *
   * A `Content-Encoding` is not decoded. A request without a body, and one whose body an earlier parser has read, is not changed.
   * With `Content-Length: 0` the `Spooled` has size 0. A {@link limit} in front applies as usual.
   *
   * Errors go to `next`: a {@link SpoolError}, or body-parser's `request.aborted` (400) if the client has disconnected. Without a
   * binary, every body is refused with 501.
   *
   * @throws {TypeError} for an unknown or invalid option, and for a `dir` that is missing or not writable.
   * @example app.post('/videos', plimsoll.spool(), async (req, res) => { await req.body.moveTo('/srv/videos/1'); res.end() })
   */
  function spool(options?: SpoolOptions): Handler

  /**
   * Returns middleware that gives each request a {@link Scope}, as `req.scope` and through {@link scope.of}. What is tied to the
   * scope ends with the request: finished, aborted or failed. A scope is created when it is first used. It works without a binary.
   *
   * In TypeScript, `import 'plimsoll/express'` declares `req.scope` for Express 4 and 5.
   *
   * @throws {TypeError} for an unknown or invalid option.
   * @example app.use(plimsoll.scope())
   */
  function scope(options?: ScopeOptions): Handler

  namespace scope {
    /**
     * Returns the scope of a request. Use it without Express's types, or if another middleware has set its own `req.scope`, which
     * then stays.
     *
     * @throws {Error} for a request that has not passed {@link plimsoll.scope}.
     */
    function of(req: IncomingMessage): Scope
  }

  interface ScopeOptions {
    /** Milliseconds that a disposer's promise is awaited before the next disposer runs, 1 to 3,600,000. Default: 1,000. */
    waitMs?: number
  }

  /**
   * Resources, disposers and values that end with their request.
   *
   * After the end of the request, every method throws an `Error` with the code `'ERR_PLIMSOLL_SCOPE_OVER'`. `defer`, `use` and
   * `pipe` first dispose of their argument.
   */
  interface Scope {
    /**
     * Calls `fn` once at the end of the request. Disposers run last in, first out, each after the previous one has settled.
     *
     * A disposer that throws, rejects or does not settle within {@link ScopeOptions.waitMs} becomes a {@link Finding} of kind
     * `disposer`. The others still run.
     */
    defer(fn: () => unknown): void
    /**
     * Closes a resource at the end of the request, like {@link defer}, and returns it.
     *
     * It calls `dispose(resource)`, otherwise the first method that exists of `release`, `[Symbol.asyncDispose]`,
     * `[Symbol.dispose]`, `close`, `end`, `destroy`, `disconnect`. A stream is destroyed.
     *
     * @throws {TypeError} for a resource that has none of these methods.
     * @example const client = req.scope.use(await pool.connect())
     */
    use<T extends object>(resource: T, dispose?: (resource: T) => unknown): T
    /** Puts a value into the request's store. The store is cleared at the end of the request. */
    set(key: unknown, value: unknown): this
    /** Returns a value of the store; undefined if there is none. */
    get<T = unknown>(key: unknown): T | undefined
    /** Returns whether the store has a value for the key. */
    has(key: unknown): boolean
    /**
     * Pipes streams into each other, and the last into the response. If the client disconnects, all of them are destroyed.
     *
     * Resolves when everything is written, and when the client has disconnected. Rejects with any other error, after which the
     * response is destroyed. The promise need not be awaited.
     *
     * @example await req.scope.pipe(fs.createReadStream(file), zlib.createGzip(), res)
     */
    pipe(...streams: [NodeJS.ReadableStream, ...NodeJS.ReadWriteStream[], NodeJS.WritableStream]): Promise<void>
    /**
     * Aborts when the client disconnects before the response is complete. The reason has the code `'ERR_PLIMSOLL_CLIENT_GONE'`.
     *
     * It never throws: if it is first used after the end of the request, it is already aborted.
     */
    readonly signal: AbortSignal
    /**
     * Returns a signal that aborts after `ms` milliseconds with a `TimeoutError`, or earlier with {@link signal}. `ms`: 0 to
     * 2,147,483,647.
     */
    timeout(ms: number): AbortSignal
  }

  /**
   * Watches a connection pool: pg (8.10 or later), mysql2, mysql, generic-pool, tarn, or a knex instance. Returns the pool. A
   * second call for the same pool changes nothing.
   *
   * A connection that a request took and did not return within `grace` after its response ended is a {@link Finding} of kind
   * `unclosed`. It has the route and the call site. A connection that arrives after the request has stopped waiting for it is
   * reported too.
   *
   * @throws {TypeError} for any other pool, and for an unknown or invalid option.
   * @example const pool = plimsoll.watchPool(new pg.Pool())
   */
  function watchPool<T extends object>(pool: T, options?: WatchPoolOptions): T

  interface WatchPoolOptions {
    /** Milliseconds that a connection may stay in use after the end of the response, 0 to 3,600,000. Default: 1,000. */
    grace?: number
    /** `true`: the connection is then taken from the request and closed. It may be in the middle of a transaction. Default: false. */
    reclaim?: boolean
  }

  /**
   * Watches listeners that requests add to long-lived emitters and do not remove: on `process`, servers, their keep-alive sockets,
   * AbortSignals, and `emitters`. If they grow with requests, that is a {@link Finding} of kind `listener`, with the emitter, the
   * event and the call site.
   *
   * `emitters`: one, several, or an object of them by name. Each is an `EventEmitter` or an `EventTarget`. Listeners that are added
   * outside of requests are never reported.
   *
   * Node's `MaxListenersExceededWarning` for one of them is followed by the call sites that added its listeners. It is a finding if
   * requests left some of them, and a warning otherwise.
   *
   * @throws {TypeError} for a value without listeners.
   * @example plimsoll.watchListeners({ bus, redis })
   */
  function watchListeners(emitters?: Listened | readonly Listened[] | { readonly [name: string]: Listened }): void

  type Listened = import('node:events').EventEmitter | EventTarget

  /**
   * Declares that nothing should retain `object` any more. If it is alive two major collections and five seconds later, that is a
   * {@link Finding} of kind `retained`, with `label` and the position of the call.
   *
   * `label`: 1 to 64 bytes. The object is watched weakly. At most 256 objects are watched at a time, including requests that
   * `plimsoll({ watch })` samples. Without a binary, nothing is watched.
   *
   * @throws {TypeError} for a value that is neither an object nor a function, and for an invalid label.
   * @example plimsoll.expectCollected(session, 'session after logout')
   */
  function expectCollected(object: object, label: string): void

  /**
   * Calls `listener` once for each new {@link Finding}. The channel `plimsoll:finding` of `node:diagnostics_channel` has the same
   * messages.
   *
   * A `leak` is reported again when its allocation site is known, and when its class and path are known. Each finding is reported
   * again when its cause is gone or has stopped (`withdrawnAt`). Further occurrences are counted in `stats().findings`. A listener that throws is counted as an internal error.
   *
   * @throws {TypeError} for another event, and for a listener that is not a function.
   */
  function on(event: 'finding', listener: (finding: Finding) => void): void
  /**
   * Removes a listener that {@link on} has added.
   *
   * @throws {TypeError} for another event, and for a listener that is not a function.
   */
  function off(event: 'finding', listener: (finding: Finding) => void): void

  /**
   * Returns all figures of this process as a plain object; in a worker thread, those of the thread. Starts the recording if nothing
   * else has.
   *
   * Without a binary, it returns what Node reports, with `heap.exact: false` and a `heap.reason`.
   */
  function stats(): Stats

  /**
   * Returns what a request has used so far. Returns `undefined` after its end, for an untracked request, and without a binary.
   *
   * @example app.use((req, res, next) => { res.on('finish', () => console.log(plimsoll.usage(req))); next() })
   */
  function usage(req: IncomingMessage): Usage | undefined

  /**
   * Sets the route label of a request. Use it for handlers that no Express router leads to (GraphQL, LoopBack, plain `http`), or if
   * you have a better name.
   *
   * The label overrides the route that Plimsoll has seen. Call it at any time before the request ends, before or after
   * `plimsoll()`. The last call counts.
   *
   * A label is one line of at most 200 characters; a longer one is cut. A method in front of a path is removed, because figures
   * have the request's own method. A control character is shown as U+FFFD. An empty label changes nothing.
   *
   * Use names that the server knows (patterns, or the operations of a schema), never a client's text. A process takes 1,024 names.
   * Every further one is counted as `(other)`.
   *
   * @throws {TypeError} for a value that is not a request, and for a label that is not a string.
   * @example plimsoll.route(req, 'GET /orders/{id}')
   * @example plimsoll.route(req, operations.has(operationName) ? `graphql ${operationName}` : 'graphql')
   */
  function route(req: IncomingMessage | Http2ServerRequest, label: string): void

  /**
   * Resolves to the resident set of the process in disjoint parts that add up to RSS. Each part has a meaning, and advice if there
   * is something to do.
   *
   * It is read on a thread of its own. The figures of V8 and of buffers are those of the calling thread. Calls that overlap share
   * one reading. Without a binary, it resolves to what Node reports.
   *
   * Do not call it from a timer or a scrape. glibc's `mallinfo2` locks malloc while it walks the free blocks, and allocations wait
   * meanwhile.
   *
   * Rejects with a `TypeError` if an argument is given.
   *
   * @example for (const { name, bytes, advice } of (await plimsoll.memory()).parts) console.log(name, bytes, advice ?? '')
   */
  function memory(): Promise<Memory>

  /**
   * Releases free memory of malloc (`malloc_trim`) and of Plimsoll's own allocator to the system, on a thread of its own. Resolves
   * to RSS before and after. The record gets an event `trim`.
   *
   * One trim runs at a time. A call during a trim receives the promise of that one. A call from another worker thread waits until
   * it is done.
   *
   * Do not call it from a timer. malloc is locked meanwhile, and the system must provide the memory again when it is needed.
   *
   * Rejects with an `Error` without a binary, and with a `TypeError` if an argument is given.
   */
  function trim(): Promise<Trimmed>

  /** Functions for reading heap snapshots. */
  namespace heap {
    /**
     * Opens a `.heapsnapshot` file, plain, gzip or zstd, and analyses it natively on other threads. Resolves to a {@link Heap}.
     *
     * An open heap needs about as much memory as its file has bytes, until {@link Heap.close}.
     *
     * Rejects with an `Error` for a file that is not a complete snapshot; the message names the byte. Rejects with an `Error`
     * without a binary, and with a `TypeError` for an invalid argument.
     *
     * @example
     * const before = await plimsoll.heap.open('before.heapsnapshot')
     * const after = await plimsoll.heap.open('after.heapsnapshot')
     * const [{ name, added, path }] = (await before.diff(after)).classes
     */
    function open(path: string, options?: OpenOptions): Promise<Heap>

    interface OpenOptions {
      /**
       * Roots that memory is retained from. `'devtools'`: the global objects, as in Chrome DevTools. `'gc'`: V8's own roots and
       * everything that they reach, as in memlab. Default: `'devtools'`.
       */
      roots?: 'devtools' | 'gc'
    }

    /**
     * An open heap snapshot. All methods reject with a `TypeError` for an invalid argument. After {@link Heap.close}, all other
     * methods reject with an `Error`.
     */
    interface Heap {
      /** Resolves to what is on the heap: classes, kinds of memory, biggest objects, duplicate strings, detached nodes. */
      summary(): Promise<HeapSummary>
      /**
       * Resolves to what was added and removed from this snapshot to `after`, by class. All snapshots must be of one process.
       *
       * With `final`, only objects count that were created between the first two snapshots and still exist in the third. This shows
       * what one round of work retains.
       */
      diff(after: Heap, options?: { final?: Heap }): Promise<HeapDiff>
      /**
       * Resolves to the shortest retaining path of an object. `target`: the id of an object, or the name of a class, of which the
       * object that retains most is chosen. Rejects with an `Error` if there is no such object.
       */
      path(target: HeapObjectId | string): Promise<HeapPath>
      /**
       * Resolves to the dominator tree from the root, at most 100,000 rows. `threshold`: smallest share of the heap that a node
       * must retain, in percent, 0 to 100. Default: 1. `depth`: largest depth, 0 to 1,000,000. Default: 10.
       */
      dominators(options?: { threshold?: number; depth?: number }): Promise<HeapDominator[]>
      /** Resolves to one object with its references and retainers. Rejects with an `Error` if there is no such object. */
      object(id: HeapObjectId): Promise<HeapObjectDetail>
      /** Frees the memory of the snapshot. Resolves when that is done. A second call does nothing. */
      close(): Promise<void>
    }
  }

  /**
   * Takes a heap snapshot, for `npx plimsoll heap`, Chrome DevTools and memlab. Resolves to the path and figures of the file. The
   * record gets an event `snapshot`.
   *
   * By default a forked child writes the snapshot of the main thread, at a moment without a major collection. The event loop is
   * paused for the fork only. The child works at the lowest priority. A stuck child is ended and a new one is started, four in
   * total.
   *
   * The file appears under its name when it is complete. Only its owner can read it, because it contains every string of the
   * process. One snapshot runs at a time.
   *
   * Rejects with an `Error` with the code `ERR_PLIMSOLL_SNAPSHOT`. The message has the reason: too little memory (six times the
   * heap must be free), not Linux with glibc, a worker thread, another snapshot that runs, a full disk. No partial file remains.
   * Rejects with a `TypeError` for an unknown or invalid option.
   *
   * @example const { path } = await plimsoll.snapshot({ compress: 'zstd' })
   */
  function snapshot(options?: SnapshotOptions): Promise<Snapshot>

  interface SnapshotOptions {
    /** Path of the file, or a folder in which the file is named as V8 names it. Default: the current folder. */
    path?: string
    /**
     * `'fork'`: a child writes the snapshot. `'stop'`: V8 writes it in this process, on every platform. Default: `'fork'`.
     *
     * With `'stop'` nothing else runs meanwhile: tens of seconds for some hundred megabytes.
     */
    mode?: 'fork' | 'stop'
    /** Compresses the file. Default: none. Needs Linux with glibc. */
    compress?: 'zstd'
  }

  /**
   * Returns a handler that answers with all figures as Prometheus text, or as OpenMetrics if the `Accept` header prefers that. It
   * answers 503 without a binary.
   *
   * The text is rendered natively, on a thread of its own, one at a time. Handlers with the same options share a rendering for a
   * second.
   *
   * @throws {TypeError} for an unknown or invalid option.
   * @example app.get('/metrics', plimsoll.metrics())
   */
  function metrics(options?: MetricsOptions): Handler

  namespace metrics {
    /**
     * Resolves to the same text as a string, for a registry of your own.
     *
     * Rejects with a `TypeError` for an unknown or invalid option, and with an `Error` without a binary.
     */
    function text(options?: MetricsTextOptions): Promise<string>
  }

  interface MetricsOptions {
    /** `'plimsoll'`: leaves out metrics whose names prom-client exports already. Default: all metrics. */
    only?: 'plimsoll'
    /**
     * Processes to cover. `'all'`: every live server with the same `name` and script (cluster, PM2), read from their records;
     * counters include what replaced workers have counted. `'process'`: only this one. Default: `'all'`.
     */
    scope?: 'process' | 'all'
    /**
     * Metrics by route that have buckets. `'latency'`: only `http_request_duration_seconds`. `'all'`: heap, body and response bytes
     * too. `'none'`: none. Default: `'latency'`, which is under 300 KB at 150 routes.
     *
     * Metrics without buckets have `_sum` and `_count` under the same names.
     */
    histograms?: 'none' | 'latency' | 'all'
    /**
     * Upper bounds of the latency histogram, in seconds. Allowed are the bounds that the record counts by: 0.001, 0.0025, 0.005,
     * 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60. Default: 0.01, 0.1, 0.5, 2.5; with `histograms: 'all'`, all of them.
     *
     * Not allowed with `histograms: 'none'`.
     */
    buckets?: readonly number[]
  }

  interface MetricsTextOptions extends MetricsOptions {
    /** `true`: OpenMetrics instead of Prometheus text. Default: false. */
    openmetrics?: boolean
  }

  /**
   * Returns the newest death of a server with the same name and script that no earlier start has reported. Returns `null` if there
   * is none, in worker threads, and without a binary.
   *
   * The death is read from the record that the server left. An ordinary stop (`cause: 'stop'`) is returned only if there is nothing
   * worse. In a process that is not a server the call only reads, so the next server still reports the death.
   */
  function lastDeath(): Death | null

  /**
   * Load test for leaks: starts an app in a process of its own, drives its routes, and reports the bytes that each route retains
   * per request.
   *
   * In CI: `assert.equal(result.verdict, 'passed', String(result))`.
   */
  const soak: shapes.Soak

  // Types of options, results, errors and messages. They are documented in lib/types/.
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
  type BlockedBy = shapes.BlockedBy
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
  type RouteBytes = shapes.RouteBytes
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
