import type { IncomingMessage, ServerResponse } from 'node:http'

// Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch, everywhere below.

/**
 * Middleware that tracks every request: what it allocates, how long it takes, how it ends. Put it first.
 *
 * Of a request that has ended it keeps nothing in JavaScript: all figures are in the *recorder*, a memory-mapped file of constant size that
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
     * Processes of one name belong together: metrics cover all that live, and a start reports the last one that died.
     * 1 to 64 bytes. Default: `PLIMSOLL_NAME`, else the name of the current folder.
     */
    name?: string
    /** Where plimsoll speaks: `console`, pino, winston. Default: warnings go to `process.emitWarning`, nothing else. */
    log?: Log
    /**
     * What of a request's URL is recorded until its route is known: `'masked'` is the path, long and token-like segments replaced
     * by `*`, without the query string; `'full'` is the whole URL. Default: `'masked'`.
     */
    paths?: 'masked' | 'full'
    /**
     * `dir`: an existing folder for the recorder's file. Default: `PLIMSOLL_DIR`, else `/dev/shm`, else the temporary folder.
     * `false` keeps the record in memory only: everything works but `show` and the post-mortem.
     */
    recorder?: { dir?: string } | false
    /**
     * Whether what a request allocates behind promises, timers, streams and callbacks is charged to it: `true` always, for diagnosis;
     * `false` never: its synchronous code only; `'sampled'` in windows, as often as keeps the cost under 2 % of the process's CPU
     * time. Needs the exact probe. Default: `'sampled'`.
     */
    async?: 'sampled' | boolean
    /** Whether each function of the app's stack gets its own bytes and time, in {@link RouteStats.layers}. Default: false. */
    layers?: boolean
    /** Appends heap statistics to a file, from a thread of its own. Default: none. */
    stats?: StatsFileOptions
    /**
     * What V8 is granted, once, when the heap is at its limit and it would end the process: time for {@link shed} to refuse and for the
     * app to drain. At most half of the limit; never again within a minute, and taken back when there is room. Main thread
     * only; off beside `--heapsnapshot-near-heap-limit`. `false`: nothing. Default: `{ reserve: '5%' }` of the heap limit.
     */
    nearLimit?: { reserve?: Size | `${number}%` } | false
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
   * A whole number of bytes, or `'<number><unit>'` with the unit `b`, `kb`, `mb`, `gb` or `tb` in any case, where 1 kb is 1,024
   * bytes, as in Express. Everything else throws, `'10m'` too (which Express takes for 10 bytes).
   */
  type Size = number | string

  /**
   * Middleware that refuses request bodies over the limit, in front of every parser: a declared length before any byte is read, any
   * other body at the first byte too many. Exactly the limit passes. Works without a binary, too.
   *
   * The refusal is a {@link TooLargeError}, an {@link OverBudgetError} or a {@link TooSlowError}, handed to `next` where the chain has not
   * gone on, else to whoever reads the body.
   *
   * @throws {TypeError} for what is no {@link Limits}, and for an option that it does not know or take.
   * @example
   * app.use(plimsoll.limit('10mb'))
   * app.use(plimsoll.limit({ 'application/json': '1mb', 'multipart/form-data': '1gb', default: '100kb' }))
   * app.use(plimsoll.limit({ limit: '1mb', routes: { 'POST /uploads/:id': '1gb' }, budget: '2gb', minRate: '1kb' }))
   */
  function limit(limit: Limits | LimitOptions): Handler

  /** One size for all bodies, one by content type, or a function of the request. */
  type Limits = Size | LimitsByType | ((req: IncomingMessage) => Size)

  /** Keys are types (`application/json`), families (`image/*`) and `default`, for all others and for none. */
  interface LimitsByType {
    default: Size
    [type: `${string}/${string}`]: Size
  }

  interface LimitOptions {
    /** The greatest body that passes. */
    limit: Limits
    /**
     * Limits by route, in the place of `limit`. Keys are `'POST /uploads/:id'` or, for all methods, `'/files/*'`: each segment of the path is
     * literal, a parameter, or a `*` at the end. They are compared with the whole path of the URL, in any case and with or without a slash at the
     * end, as Express does. The first that matches holds.
     */
    routes?: { [route: string]: Limits }
    /**
     * What holds where a function throws or returns no size; that is counted as a fault and reported once. Only beside a function.
     * Default: 0, every body is refused.
     */
    fallback?: Size
    /**
     * True: decides when the body is first read, and a `limit()` nearer to the route holds in its place, larger or not. Else one
     * that comes later can only lower it. Default: false.
     */
    defer?: boolean
    /**
     * The greatest number of bytes of all bodies in flight, of all requests that come through a limit with a budget, in all threads of the
     * process. A declared length is reserved whole before it is read, others as they come; until the request is over. What has no
     * room is refused with an {@link OverBudgetError} at once, what is larger than the budget with a {@link TooLargeError}. Default: none.
     */
    budget?: Size
    /**
     * Bytes a second that a body must come with. A client has `graceMs` in hand; time spends it, bytes give it back at this rate. Time in
     * which the app does not read is not counted. Who runs out is refused with a {@link TooSlowError}. Default: none.
     */
    minRate?: Size | { bytes: Size /** Milliseconds, from 1. Default: 10,000. */; graceMs?: number }
    /** True: counts and publishes what would be refused, and refuses nothing. Default: false. */
    report?: boolean
    /** What becomes of the connection of a refused upload. */
    linger?: LingerOptions
  }

  /**
   * A client that still sends does not read its answer when its connection is reset. So a refused one is answered with
   * `Connection: close`, our half of the connection is closed, and what still comes is thrown away within these bounds. All
   * connections that linger are closed when their server closes; of a thread at most 256 linger at once.
   */
  interface LingerOptions {
    /** Milliseconds in all. Also how long an error handler may take to answer. Default: 10,000. */
    timeMs?: number
    /** Milliseconds without a byte. Default: 3,000. */
    idleMs?: number
    /** Bytes that are thrown away. Default: `'256mb'`. */
    bytes?: Size
    /** A declared remainder up to this is read, and the connection serves the next request. Default: `'64kb'`. */
    drain?: Size
  }

  /**
   * Lets a server's `100 Continue` wait for the app: it is sent when somebody begins to read the body. What is refused until then, by
   * {@link limit} or by a guard of the app's own, is never uploaded by clients that ask first (`Expect: 100-continue`, as curl does). On a
   * server with a `checkContinue` listener of its own it does nothing. Returns the server.
   *
   * @throws {TypeError} if it is no server of `node:http`, `https` or `http2`.
   * @example plimsoll.attach(app.listen(3000))
   */
  function attach<Server extends import('node:net').Server>(server: Server): Server

  /** What {@link limit} refuses with, in the shape of body-parser's: handlers written for those work unchanged. */
  interface TooLargeError extends Error {
    status: 413
    statusCode: 413
    type: 'entity.too.large'
    expose: true
    /** The limit, in bytes. */
    limit: number
    /** Bytes declared by `Content-Length`; absent if the body was refused while it was counted. */
    length?: number
    /** The same as `length`. */
    expected?: number
    /** Bytes counted when the body was cut; absent if a declared length was refused. */
    received?: number
  }

  /** There is no room for this body in the budget of {@link LimitOptions}. In http-errors' shape; Express and connect send its headers. */
  interface OverBudgetError extends Error {
    status: 503
    statusCode: 503
    type: 'budget.exceeded'
    expose: false
    headers: { 'Retry-After': string }
    retryAfterS: number
    /** The budget, and what all bodies held of it; bytes. */
    limit: number
    inFlight: number
    /** As in {@link TooLargeError}. */
    length?: number
    expected?: number
    received?: number
  }

  /** The body came more slowly than {@link LimitOptions.minRate}. */
  interface TooSlowError extends Error {
    status: 408
    statusCode: 408
    type: 'request.too.slow'
    expose: true
    /** The rate, in bytes a second. */
    limit: number
    received: number
    length?: number
    expected?: number
  }

  /**
   * Middleware that refuses new requests with 503 and a jittered `Retry-After` before the process sinks: by what *lives* on the heap
   * (garbage is no pressure) over what the old generation may hold, RSS over the container's limit, the event loop's delay, and
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

  /** Low ones are refused twice as soon as normal ones, high ones only at full. */
  type Priority = 'low' | 'normal' | 'high'

  interface ShedOptions {
    /**
     * Marks on the live heap (after the last major collection), as shares of what the old generation may hold: `heap_size_limit` less
     * three semi-spaces. Used heap counts only where it outruns V8's collections, and as far as the requests in flight have allocated it
     * since. Default: `[0.75, 0.85]`.
     */
    heap?: readonly [lower: number, upper: number] | false
    /** Marks on the resident set, as shares of the cgroup's memory limit; without one it is not looked at. Default: `[0.85, 0.95]`. */
    rss?: readonly [lower: number, upper: number] | false
    /** Marks on how late the event loop last came round. Default: `[250, 1000]`. */
    delayMs?: readonly [lower: number, upper: number] | false
    /** Marks on the memory that the addon has allocated. Default: false. */
    native?: readonly [lower: Size, upper: Size] | false
    /**
     * Paths of the whole URL that are never refused, or a function that tells. One that throws exempts nothing; it is counted as
     * a fault and reported once. Default: `['/healthz', '/livez', '/readyz', '/health', '/metrics']`.
     */
    exempt?: string | readonly string[] | ((req: IncomingMessage) => boolean)
    /**
     * A request's priority, for all or by a function. It is called under pressure only; what throws or returns anything else
     * makes a normal request, is counted as a fault and reported once. Default: `'normal'`.
     */
    priority?: Priority | ((req: IncomingMessage) => Priority)
    /** Bounds of `Retry-After` in seconds; each refusal draws one. Default: `[1, 5]`. */
    retryAfterS?: readonly [from: number, to: number]
    /** True: counts and publishes what would be refused, and refuses nothing. Default: false. */
    report?: boolean
  }

  /** What {@link shed} refuses with, in http-errors' shape. */
  interface OverloadedError extends Error {
    status: 503
    statusCode: 503
    type: 'server.overloaded'
    expose: false
    /** Express's own error handler and connect's send them. */
    headers: { 'Retry-After': string }
    retryAfterS: number
    priority: Priority
  }

  /**
   * Handler for a readiness probe: 503 while any {@link shed} of this thread refuses (those that only report do not count),
   * else 200. Liveness is not its matter: a server that sheds lives.
   *
   * @example app.get('/readyz', plimsoll.ready())
   */
  function ready(): (req: IncomingMessage, res: ServerResponse) => void

  /** On `plimsoll:limit` of `node:diagnostics_channel`: a body was refused, or would have been. */
  interface LimitMessage {
    /** The request itself: do not keep it. */
    req: IncomingMessage
    route: string | null
    type: 'entity.too.large' | 'budget.exceeded' | 'request.too.slow'
    /** What was exceeded, by its type: the limit, the budget, or the rate in bytes a second. */
    limit: number
    /** Bytes declared; undefined if the body was counted. */
    length?: number
    /** Bytes counted; undefined if they were declared. */
    received?: number
    /** True if it was only reported. */
    reported: boolean
  }

  /** On `plimsoll:shed`: a request was refused, or would have been. */
  interface ShedMessage {
    /** The request itself: do not keep it. */
    req: IncomingMessage
    route: string | null
    priority: Priority
    /** How hard it is pressed, 0 to 1. */
    level: number
    retryAfterS: number
    /** True if it was only reported. */
    reported: boolean
  }

  /** On `plimsoll:near-limit`: V8 was granted its reserve. The time to let caches go. */
  interface NearLimitMessage {
    at: number
    /** The old generation's limit. */
    limitBytes: number
    /** What it was granted beyond. */
    grantedBytes: number
    usedBytes: number
    /** The heaviest ten, by heap bytes. */
    inFlight: InFlight[]
    /** How many there were. */
    inFlightTotal: number
  }

  /** On `plimsoll:blocked`: the event loop turns again, after a second or more. */
  interface BlockedMessage {
    /** For how long, to half a second. */
    blockedMs: number
    /** The request whose synchronous code was on the stack; null where none was. */
    method: string | null
    path: string | null
    route: string | null
  }

  /**
   * Everything that is known of this process (in a worker thread: of this thread) and its routes, as a plain object.
   * Starts the recording if nothing has yet. Without a binary: what Node can tell, with `heap.exact: false` and a `heap.reason`.
   */
  function stats(): Stats

  /**
   * What this request has used so far. `undefined` once it has ended, where it is not tracked, and without a binary.
   * @example app.use((req, res, next) => { res.on('finish', () => console.log(plimsoll.usage(req))); next() })
   */
  function usage(req: IncomingMessage): Usage | undefined

  /**
   * Where is my RSS? The resident set of the process in disjoint parts that add up to it, each with what it means and, where something is
   * to be done, advice. Read on a thread of its own (30 ms at 450 MB, 170 ms at 1 GB); V8's and buffers' figures are those of the calling thread.
   * Calls that overlap share one reading. Without a binary: what Node can tell.
   *
   * For an explicit call, not for a timer or a scrape: glibc's `mallinfo2` holds the locks of malloc while it walks what is free
   * (150 ms were measured at 730 MB of fragments), and who allocates meanwhile waits. Rejects with a `TypeError` if an argument is given.
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

  /** What the platform cannot tell. */
  type Unsupported = 'unsupported'

  /** What {@link memory} resolves to. */
  interface Memory {
    pid: number
    /** When it was read. */
    at: number
    /** Resident set size: the sum of the parts. */
    rssBytes: number
    /** Always the same ones in the same order; {@link MemoryPartName} has them. */
    parts: MemoryPart[]
    /** V8's own figures of the calling thread's heap. */
    v8: {
      /** Bytes in use, garbage included. */
      usedBytes: number
      /** Address space reserved for the heap. */
      totalBytes: number
      /** Of that committed and touched. */
      physicalBytes: number
      limitBytes: number
      /** What V8 itself has from malloc. */
      mallocedBytes: number
      /** Memory outside the heap that JavaScript objects hold; Buffers and ArrayBuffers are part of it. */
      externalBytes: number
      /** Sizes of Buffers and ArrayBuffers, touched or not. */
      arrayBuffersBytes: number
      spaces: { name: string; physicalBytes: number; usedBytes: number; totalBytes: number; availableBytes: number }[]
    }
    /** glibc's malloc, all threads: addresses, of which not all need be resident. `'unsupported'` with musl and before glibc 2.33. */
    glibc:
      | {
          /** Taken from the system in arenas: in use and free together. */
          arenaBytes: number
          inUseBytes: number
          /** Held, but free. */
          freeBytes: number
          /** Blocks so large that each is a mapping of its own, beside the arenas. */
          mappedBytes: number
        }
      | Unsupported
    /** The addon's own allocator. */
    jemalloc:
      | {
          allocatedBytes: number
          activeBytes: number
          /** What jemalloc believes is resident: an upper bound. */
          residentBytes: number
          /** Address space kept for later, without memory behind it. */
          retainedBytes: number
        }
      | Unsupported
    /** The container's memory controller (v1 or v2). */
    cgroup:
      | {
          /** Null if there is no limit. */
          limitBytes: number | null
          /** Page cache included. */
          usedBytes: number | Unsupported
          /** Page cache that was not used lately: the kernel drops it before it kills. */
          inactiveFileBytes: number | Unsupported
          /** `usedBytes` less `inactiveFileBytes`: what Kubernetes goes by. */
          workingSetBytes: number | Unsupported
        }
      | Unsupported
    /** Of the resident set, in transparent huge pages. */
    hugePageBytes: number | Unsupported
    /** Swapped out, not resident. */
    swappedBytes: number | Unsupported
    /** The longest time that the event loop did not come round while this was read, whatever held it. */
    stalledMs: number
  }

  interface MemoryPart {
    name: MemoryPartName
    /** Resident bytes. `'unsupported'` counts as 0: what it would be is in another part, `unexplained` in the end. */
    bytes: number | Unsupported
    /** What it is, in a sentence. */
    meaning: string
    /** What to do; null where nothing is to be done. */
    advice: string | null
  }

  type MemoryPartName =
    /** The calling thread's heap, free room in its pages included. */
    | 'v8Heap'
    /** V8's memory beyond it: heaps of other threads, WebAssembly, emptied pages kept for reuse. */
    | 'v8Other'
    /** Contents of the calling thread's Buffers and ArrayBuffers, as far as they were touched. */
    | 'arrayBuffers'
    /** What V8 itself has from malloc. */
    | 'v8Malloc'
    /** What else is in use from malloc; where `mallocFree` is unsupported, what is free as well. */
    | 'mallocInUse'
    /** Held by glibc's malloc, but free. */
    | 'mallocFree'
    /** plimsoll's own memory. */
    | 'jemalloc'
    /** The executable and libraries, their data included. */
    | 'code'
    /** Other mapped files. */
    | 'mappedFiles'
    /** tmpfs in `/dev/shm`, memfd, shared anonymous memory; plimsoll's record is there. */
    | 'sharedMemory'
    | 'threadStacks'
    /** What no figure accounts for. */
    | 'unexplained'

  /** What {@link trim} resolves to. */
  interface Trimmed {
    rssBeforeBytes: number
    rssAfterBytes: number
    /** Before less after: negative if the process grew by more meanwhile. */
    freedBytes: number
    /** How long the trimming took, on its thread. */
    tookMs: number
    /** The longest time that the event loop did not come round meanwhile, whatever held it. */
    stalledMs: number
    /** Whether malloc had something to give back. */
    malloc: boolean | Unsupported
    /** Whether jemalloc gave its free pages back. */
    jemalloc: boolean | Unsupported
  }

  /**
   * Handler that answers with all figures as Prometheus text, or as OpenMetrics where `Accept` prefers that. Rendered in Rust,
   * on a thread of the pool. Answers 503 without a binary.
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
    /** `'all'`: every live process of the same `name` (cluster, PM2), read from their records; `'process'`: this one. Default: `'all'`. */
    scope?: 'process' | 'all'
  }

  interface MetricsTextOptions extends MetricsOptions {
    /** OpenMetrics instead of Prometheus text. Default: false. */
    openmetrics?: boolean
  }

  /**
   * The newest death of a process of the same name that no start had reported before this one, read from the record that it
   * left; `null` if there is none, in worker threads, and without a binary.
   */
  function lastDeath(): Death | null

  /**
   * Count, sum, min and max are exact. A quantile is the mean of the values in its bucket; buckets are quarters of a power of two,
   * so it is exact where the values are alike, and at most a quarter off where they are not.
   */
  interface Distribution {
    count: number
    sum: number
    min: number
    max: number
    mean: number
    p50: number
    p90: number
    p99: number
  }

  /** What one request has used. */
  interface Usage {
    /**
     * Bytes allocated on the V8 heap in its spans (garbage included): its synchronous code, and what runs behind promises and
     * callbacks where that is metered. One reading may be off by a page, or negative.
     */
    heapBytes: number
    /** Growth of memory held outside the heap (Buffers, ArrayBuffers) in its spans; negative if they freed more. */
    externalBytes: number
    /** What the addon itself has allocated in its spans and not freed. */
    nativeBytes: number
    /** The most that this was where a span ended. */
    nativePeakBytes: number
    /** What the addon has allocated in its spans in all. */
    nativeTotalBytes: number
    /** Bytes of the request's body that have come. */
    bodyBytes: number
    /** Bytes written to the socket for the response, headers included; 0 with HTTP/2. */
    responseBytes: number
    /** Stretches of its code that were metered so far. */
    spans: number
    /** Whether all of its code has been metered so far, that behind promises and callbacks included. */
    whole: boolean
  }

  /** One row: method × route × status class. At most 1,024 rows; what does not fit goes under `(other)`. */
  interface RouteStats {
    method: string
    /** The mounted pattern (`/api/users/:id`), never the URL; `(unmatched)` and `(other)` stand for what has none. */
    route: string
    /** Class of the response's status; a client that went away unanswered counts as 499. */
    status: '1xx' | '2xx' | '3xx' | '4xx' | '5xx'
    /** Requests that have ended. */
    count: number
    /** Those answered with 5xx. */
    errors: number
    /** Those whose response was not written out: the client went away, or the response was destroyed. */
    aborted: number
    /** Those that `limit()` refused. */
    limited: number
    /** Milliseconds from the entry to the end (the `'close'`) of the request. */
    durationMs: Distribution
    /** Bytes allocated on the V8 heap by the code of a request that was metered: its synchronous part at least. */
    heapBytes: Distribution
    /** Requests that were metered whole, what runs behind promises and callbacks included. */
    wholeCount: number
    /** Their mean; null if there is none. */
    wholeHeapMeanBytes: number | null
    /** Bytes of request bodies as they came on the wire, compressed ones compressed. */
    bodyBytes: Distribution
    /** Bytes written to the socket for a response, headers included. */
    responseBytes: Distribution
    /**
     * Memory outside the heap (Buffers, ArrayBuffers) that a request takes: the middle one of the last nine requests during which no
     * collection ran; null if there is none.
     */
    externalMedianBytes: number | null
    /** The addon's own memory: the mean of what a request still held at its end. */
    nativeHeldMeanBytes: number
    /** The mean of what was allocated for a request in all. */
    nativeTotalMeanBytes: number
    /** The most that was held for one request. */
    nativePeakBytes: number
    /** What each function of the app's stack has used, the heaviest first; empty without {@link Options.layers}. */
    layers: LayerStats[]
  }

  /** A function of the app's stack in the requests of one row, exclusive of what it passes the request to with `next()`. */
  interface LayerStats {
    /** The function's name, `(anonymous)` without one; `(other)` beyond 256 functions. */
    name: string
    /** File and line, as seen from where the process runs; null where it is not known. */
    origin: string | null
    /** Requests that it ran in. */
    count: number
    /** Bytes allocated on the V8 heap in all, and a request. */
    heapBytes: number
    heapMeanBytes: number
    /** Time on the stack in all, and a request; not what it waits for. */
    timeMs: number
    timeMeanMs: number
  }

  /** What {@link stats} returns. Fields marked optional are absent without a binary. */
  interface Stats {
    pid: number
    /** 0 for the main thread, else the worker's `threadId`. */
    thread?: number
    /** As in {@link Options.name}. */
    name?: string
    /** When the recording began. */
    startedAt?: number
    /** Resident set size of the process. */
    rssBytes: number
    process?: {
      /** CPU time of the process in user mode. */
      cpuUserMs: number
      /** CPU time of the process in the kernel. */
      cpuSystemMs: number
      /** Open file descriptors. */
      openFds: number
      /** The limit of open file descriptors; 0 if unknown. */
      maxFds: number
    }
    heap: {
      /** Bytes in use on the V8 heap, garbage not yet collected included. */
      usedBytes: number
      /** Bytes that V8 has reserved for the heap. */
      totalBytes?: number
      /** Bytes in use after the last major collection: what really lives. Null before the first. */
      liveBytes: number | null
      /** When that collection was; null before the first. */
      liveAt?: number | null
      /** The heap after each of the last 512 major collections, oldest first. */
      liveHistory?: LiveHeap[]
      /** The size at which V8 ends the process (`--max-old-space-size` and its semi-spaces). */
      limitBytes: number
      /** Bytes ever allocated since the recording began. Exact if `exact`, else the growth of the used size that was seen. */
      allocatedBytes: number
      /** Memory that lives outside the heap and is held from inside it (Buffers, ArrayBuffers). */
      externalBytes: number
      /** Memory that V8 itself has from `malloc`. */
      mallocedBytes?: number
      /** Of the allocated bytes, those charged to requests. */
      attributedBytes: number
      /** The rest: the app's own work, Node, and what was not metered behind promises and callbacks. */
      unattributedBytes: number
      /** Whether V8's own allocation counter is read, and was verified at the start. */
      exact: boolean
      /** Why it is not; absent if it is. */
      reason?: string
    }
    /** By kind, as V8 names them: `scavenge`, `minor-mark-sweep`, `mark-sweep-compact`, `incremental-marking`, `weak-callbacks`. */
    gc: {
      [kind: string]: {
        count: number
        /** Sum of the pauses. */
        pauseMs: number
      }
    }
    /** The addon's own allocator, jemalloc; `'unsupported'` where it is another (Windows), and without a binary. */
    native:
      | {
          /** Bytes in allocations. */
          allocatedBytes: number
          /** Bytes in pages with at least one allocation. */
          activeBytes: number
          /** Bytes in pages that are physically there. */
          residentBytes: number
        }
      | 'unsupported'
    /** Memory limit and use of the container; null where there is none. */
    cgroup?: {
      limitBytes: number | null
      usedBytes: number | null
      /** OOM kills in this cgroup up to the start of the process. */
      oomKillsAtStart: number | null
    }
    eventLoop?: {
      /** When the loop last came round. */
      lastTick: number
      /** How late it was. */
      lagMs: number
      /** Share of the time that it was busy, 0 to 1. */
      utilization: number
      /** The longest time that it was blocked, since the recording began. */
      longestBlockMs: number
      /** How long it has been blocked now; 0 while it turns. */
      blockedMs: number
    }
    /** How asynchronous code is metered. */
    asyncSpans?: {
      /** Share of the time in which it is, 0 to 1. */
      share: number
      /** What metering adds to a request's CPU time, as a part of that, rather too high; 1 while it is not known. */
      cost: number
      /** Requests that were metered whole. */
      wholeRequests: number
    }
    requests: {
      /** Requests ever tracked. */
      total: number
      inFlight: number
      /** Served without being tracked, since every slot was taken. */
      untracked: number
      /** Refused by {@link limit}, as too large. */
      limited: number
      /** Refused by {@link shed}. */
      shed: number
      /** What `report: true` only counted, of `shed()` and of `limit()`. */
      shedReported: number
      limitReported: number
      /** Refused by `limit()`'s budget, and because the body came too slowly. */
      overBudget: number
      tooSlow: number
      /** What bodies in flight, of this thread, hold of the budget. */
      bodyHeldBytes: number
      /** Bytes of request bodies ever received. */
      bodyBytes?: number
      /** The one in flight that started first; null if none is. */
      oldest?: { method: string; path: string; route: string | null; startedAt: number } | null
    }
    /** What {@link shed} goes by. */
    pressure?: Pressure
    /** The reserve that V8 is granted near its heap limit. */
    nearLimit?: {
      /** Whether it would be. */
      armed: boolean
      /** Why not; absent if it would be. */
      reason?: string
      reserveBytes: number
      /** How often it was. */
      grants: number
      /** When it last was; null if never. */
      at: number | null
    }
    routes: RouteStats[]
    /** `heap-limit`: V8's limit and the container's do not fit each other; the advice names the flag to set. */
    findings: Finding[]
    recorder: {
      /** The file; null if the record is in memory only. */
      path: string | null
      /** Its size, which never changes; 0 without a binary. */
      bytes: number
    }
    /** Faults of plimsoll's own that it swallowed. Anything but 0 is a bug worth reporting. */
    faults?: number
  }

  interface Pressure {
    /** How hard {@link shed} is pressed: 0 admits all, 1 nothing. */
    level: number
    /** What lives over what the old generation may hold; null before the first major collection. */
    heap: number | null
    /** RSS over the cgroup's limit; null without one. */
    rss: number | null
    /** How late the event loop last came round. */
    delayMs: number
    /** The addon's own allocations; null where unknown. */
    nativeBytes: number | null
    /** The largest that one of the young generation's semi-spaces may become; null where unknown. */
    semiSpaceMaxBytes: number | null
  }

  /** Something that plimsoll has evidence of. */
  interface Finding {
    kind: string
    route: string | null
    /** Where in the code it comes from, if known. */
    origin: string | null
    count: number
    /** Of a thousand requests of that route; null where it does not apply. */
    perThousand: number | null
    firstSeen: number
    lastSeen: number
    severity: 'info' | 'warning' | 'critical'
    advice: string
  }

  /** A request that had not ended. */
  interface InFlight {
    method: string
    /** As {@link Options.paths} has it. */
    path: string
    /** The mounted pattern, once it is known. */
    route: string | null
    ageMs: number
    /** Its synchronous code was on the stack: at the last heartbeat of a dead process, or now. */
    running: boolean
    heapBytes: number
    externalBytes: number
    nativeBytes: number
    bodyBytes: number
    startedAt: number
    /** True if the row was being written while it was read; absent else. */
    torn?: boolean
  }

  /** Memory at one moment, about twice a second. */
  interface Sample {
    at: number
    rssBytes: number
    heapUsedBytes: number
    heapLimitBytes: number
    externalBytes: number
    /** Bytes that V8 has reserved for the heap. */
    heapTotalBytes: number
    /** After the last major collection; null before the first. */
    heapLiveBytes: number | null
    /** The container's use; null without one. */
    cgroupUsedBytes: number | null
    /** The addon's own allocations. */
    nativeAllocatedBytes: number
    /** Requests in flight. */
    inFlight: number
    /** Requests ever tracked. */
    requestsTotal: number
    /** How long the event loop had been blocked; 0 while it turned. */
    blockedMs: number
    /** How late the event loop last came round. */
    lagMs: number
    /** Sum of all collections' pauses up to here. */
    gcPauseMs: number
  }

  /** What lives on the heap right after a major collection: the heap without garbage. */
  interface LiveHeap {
    at: number
    heapBytes: number
    externalBytes: number
    /** Of the process, half a second old at most. */
    rssBytes: number
    /** Requests ever tracked. */
    requestsTotal: number
  }

  /** One garbage collection. */
  interface Collection {
    at: number
    /** As in {@link Stats.gc}. */
    kind: string
    pauseMs: number
    /** Heap in use before and after. */
    beforeBytes: number
    afterBytes: number
    externalBytes: number
  }

  /** Something that happened. */
  interface RecordEvent {
    at: number
    /**
     * `start`, `exit`, `uncaught-exception`, `limit`, `shed`, `blocked`, `near-limit`, `stats-file`, `recorder`, `last-death`, `trim`, `fault`.
     */
    type: string
    route: string | null
    detail: string
  }

  /** What `npx plimsoll show --json` prints, one object a line. Fields are as in {@link Stats} unless said. */
  interface Record {
    pid: number
    /** Whether the process holds its record's lock; never inferred from a pid. */
    alive: boolean
    startedAt: number
    lastHeartbeat: number
    /** How long the event loop had been blocked at the last heartbeat; 0 while it turned. */
    blockedMs: number
    name: string
    thread: number
    /** The file. */
    path: string | null
    /** What Node was started with. */
    script: string
    nodeVersion: string
    platform: string
    /** With `processStartTicks`, what tells processes apart: a pid is used again. */
    bootId: string
    processStartTicks: number
    /** How it ended, where it could say so itself; null else. `kind`: `exit`, `uncaught-exception` or `worker-end`. */
    exit: { kind: string; code: number; at: number; detail: string } | null
    /** The verdict on a dead process; absent while it lives. */
    death?: Pick<Death, 'cause' | 'evidence' | 'at'>
    /** Whether a later start has reported this death. */
    reported: boolean
    /** Whether the file is a copy, written four times a second (on disks), or the memory itself (on tmpfs). */
    mirrored: boolean
    /** Rows that were being written whenever they were read: left out, or marked as torn. */
    tornRows: number
    process: Required<Stats>['process'] & { rssBytes: number }
    heap: {
      usedBytes: number
      totalBytes: number
      limitBytes: number
      externalBytes: number
      mallocedBytes: number
      /** Committed and touched. */
      physicalBytes: number
      liveBytes: number | null
      liveAt: number | null
      allocatedBytes: number
      attributedBytes: number
      exact: boolean
      /** When the JavaScript thread published these figures. */
      at: number
    }
    native: { supported: boolean; allocatedBytes: number; activeBytes: number; residentBytes: number }
    cgroup: Required<Stats>['cgroup']
    eventLoop: Omit<Required<Stats>['eventLoop'], 'blockedMs'>
    asyncSpans: Required<Stats>['asyncSpans']
    requests: {
      total: number
      inFlight: number
      untracked: number
      limited: number
      shed: number
      shedReported: number
      limitReported: number
      /** Refused by `limit()`'s budget, and because the body came too slowly. */
      overBudget: number
      tooSlow: number
      /** What bodies in flight, of this thread, hold of the budget. */
      bodyHeldBytes: number
      bodyBytes: number
    }
    pressure: Pressure
    nearLimit: { grants: number; at: number | null }
    gc: { kind: string; count: number; pauseMs: number }[]
    /** Oldest first. */
    inFlight: InFlight[]
    /** Oldest first. */
    samples: Sample[]
    /** The last ones, oldest first. */
    collections: Collection[]
    /** Oldest first. */
    liveHistory: LiveHeap[]
    routes: RouteStats[]
    /** Oldest first. */
    events: RecordEvent[]
    /** Faults of plimsoll's own that it swallowed. */
    faults: number
  }

  /** How a process ended, by the record that it left. */
  interface Death {
    /** The probable cause. */
    cause: 'heap limit' | 'cgroup OOM' | 'signal' | 'blocked loop' | 'exit' | 'uncaught exception' | 'reboot'
    /** What speaks for it, in a sentence. */
    evidence: string
    pid: number
    /** When it died, as near as the record knows: its own last words, or its last heartbeat. */
    at: number
    startedAt: number
    /** Resident set size at the last sample. */
    rssBytes: number
    /** Bytes in use on the V8 heap at the last sample. */
    heapUsedBytes: number
    heapLimitBytes: number
    /** The container's memory limit; null if it had none. */
    cgroupLimitBytes: number | null
    /** Null if it could not say. */
    exitCode: number | null
    /** What Node was started with. */
    script: string
    /** The record's file, for `npx plimsoll show`. */
    path: string
    /** The oldest and heaviest requests that it died with. */
    inFlight: InFlight[]
    /** How many there were. */
    inFlightTotal: number
  }
}

export = plimsoll
