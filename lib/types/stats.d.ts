// Results of `stats()` and `usage()`. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.

import type { LiveHeap } from './record'

/**
 * Distribution of a figure over requests. `count`, `sum`, `min`, `max` and `mean` are exact.
 *
 * A quantile is the mean of the values in its bucket. Buckets are quarters of powers of two. So a quantile is exact if the values
 * are alike, and at most a quarter off otherwise.
 */
export interface Distribution {
  count: number
  sum: number
  min: number
  max: number
  mean: number
  p50: number
  p90: number
  p99: number
}

/**
 * What one request has used. The figures cover its metered code: always its synchronous code, and the code of its promises, timers,
 * streams and callbacks as the option `async` says.
 */
export interface Usage {
  /**
   * Bytes allocated on the V8 heap, garbage included. Never negative. A single reading may be off by a page of V8's heap. See
   * `heap.uncertainRequests` in {@link Stats}.
   */
  heapBytes: number
  /** Growth of memory outside the heap (Buffers, ArrayBuffers). Negative if more was freed. */
  externalBytes: number
  /** Memory that the addon has allocated and not freed. */
  nativeBytes: number
  /** Largest value of `nativeBytes` at the end of a span. */
  nativePeakBytes: number
  /** All memory that the addon has allocated. */
  nativeTotalBytes: number
  /** Bytes of the request's body that have arrived. */
  bodyBytes: number
  /** Bytes written to the socket for the response, headers included. 0 with HTTP/2. */
  responseBytes: number
  /** Number of spans so far. A span is a stretch of synchronous code that was metered. */
  spans: number
  /** Whether all of its code has been metered so far, including promises, timers, streams and callbacks. */
  whole: boolean
}

/** A row of the route table: method × route × status class. At most 1,024 rows; further ones are counted under `(other)`. */
export interface RouteStats {
  method: string
  /** Mounted pattern (`/api/users/:id`), never the URL. `(unmatched)`: no route took the request. `(other)`: the table is full. */
  route: string
  /** Class of the response's status. A client that disconnected before the answer counts as 499. */
  status: '1xx' | '2xx' | '3xx' | '4xx' | '5xx'
  /** Requests that have ended. */
  count: number
  /** Requests that were answered with 5xx. */
  errors: number
  /** Requests whose response was not sent completely: the client disconnected, or the response was destroyed. */
  aborted: number
  /** Requests that `limit()` refused. */
  limited: number
  /** Milliseconds from the entry of a request to its end. */
  durationMs: Distribution
  /** Bytes that the metered code of a request allocated on the V8 heap: at least its synchronous code. */
  heapBytes: Distribution
  /** Requests that were metered whole, including promises, timers, streams and callbacks. */
  wholeCount: number
  /** Mean heap bytes of these requests; null if there are none. */
  wholeHeapMeanBytes: number | null
  /** Bytes of request bodies on the wire. A compressed body counts with its compressed size. */
  bodyBytes: Distribution
  /** Bytes written to the socket for a response, headers included. */
  responseBytes: Distribution
  /**
   * Memory outside the heap (Buffers, ArrayBuffers) that a request takes: the median of the last nine requests during which no
   * collection ran. Null if there are none.
   */
  externalMedianBytes: number | null
  /** Memory that the addon had allocated for a request and not freed at its end, on average. */
  nativeHeldMeanBytes: number
  /** All memory that the addon allocated for a request, on average. */
  nativeTotalMeanBytes: number
  /** Largest memory that the addon had allocated for one request at a time. */
  nativePeakBytes: number
  /** Figures of each function of the Express stack, the heaviest first. Empty unless the option `layers` is on. */
  layers: LayerStats[]
}

/**
 * A function of the Express stack, in the requests of one row. Its figures exclude the functions that it passes the request to with
 * `next()`.
 */
export interface LayerStats {
  /** Name of the function, `(anonymous)` if it has none. Beyond 256 functions: `(other)`. */
  name: string
  /** File and line of the function, relative to the working folder; null if not known. */
  origin: string | null
  /** Requests that it ran in. */
  count: number
  /** Bytes that it allocated on the V8 heap, in all requests. */
  heapBytes: number
  /** The same per request. */
  heapMeanBytes: number
  /** Time that it was on the stack, in all requests. Waiting time is not included. */
  timeMs: number
  /** The same per request. */
  timeMeanMs: number
}

/** Code that blocked the event loop. */
export interface BlockedBy {
  /** When its stack was captured. */
  at: number
  /** Name of the function; null if it has none. */
  function: string | null
  /** Its line, as `src/report.js:12:5`. With a source map it is the source's. */
  origin: string
  /** Up to eight frames of the app and of packages, as `slow (src/report.js:12:5)`, innermost first. */
  stack: string[]
  /** True if native code blocked the loop. `origin` is then where JavaScript ran next: the call itself, or one shortly after it. */
  native: boolean
}

/** Result of `stats()`. Optional fields are absent without a binary. */
export interface Stats {
  pid: number
  /** 0 for the main thread, otherwise the worker's `threadId`. */
  thread?: number
  /** Value of the option `name`. */
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
    /** Number of open file descriptors. */
    openFds: number
    /** Limit of open file descriptors; 0 if not known. */
    maxFds: number
  }
  heap: {
    /** Heap in use, garbage included. */
    usedBytes: number
    /** Heap that V8 has reserved. */
    totalBytes?: number
    /** Live heap: heap in use after the last major collection. Null before the first. */
    liveBytes: number | null
    /** Time of that collection; null before the first. */
    liveAt?: number | null
    /** Live heap after each of the last 512 major collections, oldest first. */
    liveHistory?: LiveHeap[]
    /** Size at which V8 ends the process: `--max-old-space-size` and the semi-spaces. */
    limitBytes: number
    /** Bytes allocated since the recording began. Exact if `exact` is true, otherwise the observed growth of the used heap. */
    allocatedBytes: number
    /** Memory outside the heap that JavaScript objects own (Buffers, ArrayBuffers). */
    externalBytes: number
    /** Memory that V8 itself has allocated with malloc. */
    mallocedBytes?: number
    /** Part of `allocatedBytes` that was charged to requests. */
    attributedBytes: number
    /** The rest of `allocatedBytes`: the app's own work, Node, and code of requests that was not metered. */
    unattributedBytes: number
    /**
     * Number of requests that were left out of `heapBytes` of their route, because V8's own work made the figure uncertain. A
     * background compiler took or returned memory, or V8 reused a part of a young page.
     *
     * Such a request is part of the route's `count`, so `heapBytes.count` may be smaller.
     */
    uncertainRequests: number
    /** Whether V8's own allocation counter is in use. It was verified at the start. */
    exact: boolean
    /** Why it is not in use. Absent if it is. */
    reason?: string
  }
  /**
   * Garbage collections since the recording began, by V8's name of their kind: `scavenge`, `minor-mark-sweep`,
   * `mark-sweep-compact`, `incremental-marking`, `weak-callbacks`.
   */
  gc: {
    [kind: string]: {
      count: number
      /** Sum of the pauses. */
      pauseMs: number
    }
  }
  /** The addon's own allocator, jemalloc. `'unsupported'` if another allocator is in use (Windows), and without a binary. */
  native:
    | {
        /** Bytes in allocations. */
        allocatedBytes: number
        /** Bytes in pages with at least one allocation. */
        activeBytes: number
        /** Bytes in resident pages. */
        residentBytes: number
      }
    | 'unsupported'
  /** Memory controller of the container. A figure is null if there is none. */
  cgroup?: {
    /** Memory limit. */
    limitBytes: number | null
    /** Memory in use. */
    usedBytes: number | null
    /** OOM kills in this cgroup until the process started. */
    oomKillsAtStart: number | null
  }
  eventLoop?: {
    /** Time of the last tick. A tick is due every 250 ms. */
    lastTick: number
    /** Delay of the last tick. */
    lagMs: number
    /** Share of the time since the previous tick that the event loop was busy, 0 to 1. */
    utilization: number
    /** Longest block since the recording began. */
    longestBlockMs: number
    /** Code that last blocked it for a second or more; null if there was none, or if it is not known. */
    blockedBy: BlockedBy | null
    /** How long the event loop has been blocked; 0 if it is not blocked. */
    blockedMs: number
  }
  /** How asynchronous code is metered. */
  asyncSpans?: {
    /** Share of the time during which it is metered, 0 to 1. */
    share: number
    /** CPU time that metering adds to a request, as a fraction of the request's CPU time. An upper estimate. 1 if not known yet. */
    cost: number
    /** Requests that were metered whole. */
    wholeRequests: number
  }
  requests: {
    /** Requests tracked since the recording began. */
    total: number
    /** Requests that have not ended. */
    inFlight: number
    /** Requests that were served without being tracked, because 4,096 others were in flight. */
    untracked: number
    /** Bodies that `limit()` refused as too large. */
    limited: number
    /** Requests that `shed()` refused. */
    shed: number
    /** Requests that `shed()` with `report: true` would have refused. */
    shedReported: number
    /** Bodies that `limit()` with `report: true` would have refused. */
    limitReported: number
    /** Bodies that `limit()` refused because the budget had no room. */
    overBudget: number
    /** Bodies that `limit()` refused because they arrived too slowly. */
    tooSlow: number
    /** Bytes of the budget that bodies in flight occupy, of this thread. */
    bodyHeldBytes: number
    /** Bytes of request bodies that have arrived since the recording began. */
    bodyBytes?: number
    /** The request in flight that started first; null if there is none. */
    oldest?: { method: string; path: string; route: string | null; startedAt: number } | null
  }
  /** Figures that `shed()` decides by. */
  pressure?: Pressure
  /** The reserve that V8 is granted near its heap limit. */
  nearLimit?: {
    /** Whether V8 will be granted the reserve. */
    armed: boolean
    /** Why not. Absent if `armed` is true. */
    reason?: string
    /** Size of the reserve; 0 if there is none. */
    reserveBytes: number
    /** Number of grants so far. */
    grants: number
    /** Time of the last grant; null if there was none. */
    at: number | null
  }
  /** Figures by route. */
  routes: RouteStats[]
  /**
   * Findings so far. A kind needs the option in parentheses:
   *
   * - `heap-limit`: V8's heap limit and the container's memory limit do not fit. The advice names the flag to set.
   * - `leak` (`leaks`): memory grows with requests, see {@link Stats.trend}. Or open file descriptors, timers, worker threads or child
   *   processes do, which `class` says.
   * - `native-growth` (`leaks`): memory outside V8 grows, but malloc has much of it free, or that is not known.
   * - `large-response` (`largeResponses`), `disposer` (`scope()`), `unclosed` (`watchPool()`), `listener` (`watchListeners()`).
   * - `timer`, `stream`, `retained`, `large-property` (`watch`). `retained` is also reported for `expectCollected()`.
   */
  findings: Finding[]
  /** Whether memory grows with requests. */
  trend: Trends
  recorder: {
    /** Path of the record's file; null if the record is in memory only. */
    path: string | null
    /** Size of the record. It never changes. 0 without a binary. */
    bytes: number
  }
  /** Internal errors of Plimsoll that it has caught. A value other than 0 is a bug worth reporting. */
  faults?: number
}

export interface Pressure {
  /** Pressure, 0 (no request is refused) to 1 (every request is refused). With several `shed()`s, the highest of them. */
  level: number
  /** Live heap as a share of the old generation's limit; null before the first major collection. */
  heap: number | null
  /** RSS as a share of the container's memory limit; null without such a limit. */
  rss: number | null
  /** Delay of the last tick. */
  delayMs: number
  /** Memory that the addon has allocated; null if not known. */
  nativeBytes: number | null
  /** Largest size of one semi-space of the young generation; null if not known. */
  semiSpaceMaxBytes: number | null
}

/** Something that Plimsoll has evidence of, with advice. */
export interface Finding {
  kind: string
  /** Method and pattern (`GET /users/:id`); null if not known. */
  route: string | null
  /**
   * Position in the app's code that caused the finding, such as `src/users.js:12:5`; null if not known. With `--enable-source-maps`
   * it is a position in the source. If the app called a module that did it, the module's name follows. For a function it is file
   * and line.
   */
  origin: string | null
  /** How often it was seen. If it grows: its number at the last report. It is reported again when the number has grown by a tenth. */
  count: number
  /**
   * Number per 1,000 requests of the route; null if it does not apply. For `retained`: per 1,000 sampled requests. For `leak`:
   * objects of `class` that 1,000 requests leave.
   */
  perThousand: number | null
  /** Time of the first evidence. */
  firstSeen: number
  /** Time of the last evidence. */
  lastSeen: number
  /** A finding that has stopped is `info`. */
  severity: 'info' | 'warning' | 'critical'
  /** One text with the figures and what to do. */
  advice: string
  /** When its cause was gone, or had stopped. Null while it continues. */
  withdrawnAt: number | null
  /** `leak`: bytes that a request of `route` retains, or a request of any route if `route` is null. Null for other kinds. */
  bytesPerRequest: number | null
  /** `leak`: lower end of the 95 % interval of `bytesPerRequest`. Null for other kinds. */
  low: number | null
  /** `leak`: upper end of that interval. Null for other kinds. */
  high: number | null
  /** `leak`: probability of such growth by chance. Null for other kinds. */
  p: number | null
  /** `leak`: the routes whose requests own the growth, the one with the most first. Empty until they are known, and for other kinds. */
  routes: RouteBytes[]
  /** `leak`: what retains the objects, such as `AuditTrail.entries (a Map in services/audit.js)`. Null until it is known. */
  holder: string | null
  /** `leak`: the function that adds to the holder, such as `AuditTrail.record (services/audit.js:7)`. Null if it is not known. */
  addedBy: string | null
  /** `leak`: name and version of the holder's package, such as `ajv 8.17.1`. Null for the app's own modules. */
  package: string | null
  /** `leak`: hours until the memory, or the number of descriptors, reaches its limit, as of the last report. Null if there is no limit. */
  hoursToLimit: number | null
  /** `leak`: class of the retained objects. Null until it is known. */
  class: string | null
  /** `leak`: retaining path of these objects, root first. Null until it is known. */
  path: string[] | null
}

/** What a request of one route retains. */
export interface RouteBytes {
  /** Method and pattern (`GET /users/:id`). */
  route: string
  /** Bytes that a request of it retains. */
  bytesPerRequest: number
  /** Lower end of the 95 % interval. */
  low: number
  /** Upper end of that interval. */
  high: number
}

/** Whether memory grows with requests, by kind of memory. Null with `leaks: false` and without a binary. */
export interface Trends {
  /** Live heap of V8. */
  heap: Trend | null
  /** Memory outside the heap that JavaScript objects own (Buffers, ArrayBuffers). */
  external: Trend | null
  /** Other resident memory: addons, the C library, fragmentation. Null in a worker thread. */
  native: Trend | null
}

/**
 * Trend of live memory after major collections, against requests served. A ramp of traffic is no leak, because the trend is not
 * against time.
 *
 * Figures are null until ten collections after the warm-up are known.
 */
export interface Trend {
  /**
   * - `learning`: there are not enough collections yet.
   * - `steady`: no growth beyond noise.
   * - `uncertain`: it grows, but it may be a cache that fills, or one step.
   * - `leaking`: the growth is certain, continues to the end without a bend, reaches a level that it never had, and six collections
   *   agree.
   */
  state: 'learning' | 'steady' | 'uncertain' | 'leaking'
  /** Number of points that the figures are made from, at most 64. If there were more collections, a point represents several. */
  samples: number
  /** How far the trend is from its verdict. */
  progress: {
    /** Requests so far. */
    requests: number
    /** Requests that a verdict needs. A leak of much memory needs fewer. */
    ofRequests: number
    /** Major collections after the warm-up so far. */
    collections: number
    /** Major collections that a verdict needs. */
    ofCollections: number
    /** Time until a verdict at the present rates; null if it is not known, or if there is a verdict. */
    etaMs: number | null
  }
  /**
   * What the following figures are for: `connection` if there are hardly any requests for each connection, as with WebSockets. Then
   * `progress` counts connections too.
   */
  per: 'request' | 'connection'
  /** Growth in bytes per request (Theil–Sen slope); null while the trend is `learning` or `steady`. */
  bytesPerRequest: number | null
  /** Lower end of its 95 % interval; null while the trend is `learning` or `steady`. */
  low: number | null
  /** Upper end of its 95 % interval. Of a `steady` trend it is the bound of what a request retains. */
  high: number | null
  /** Probability of such a trend by chance (Mann–Kendall, corrected for autocorrelation and for requests in flight). */
  p: number | null
  /** When the growth began; null if there is none. */
  since: number | null
  /** Time of the first point. */
  from: number | null
  /** Time of the newest collection that was checked. */
  to: number | null
  /** Hours until the memory reaches its limit at this growth; null without growth, and without a limit. */
  hoursToLimit: number | null
}
