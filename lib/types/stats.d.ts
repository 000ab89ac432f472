// What `stats()` and `usage()` return. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.

import type { LiveHeap } from './record'

/**
 * Count, sum, min and max are exact. A quantile is the mean of the values in its bucket; buckets are quarters of a power of two,
 * so it is exact where the values are alike, and at most a quarter off where they are not.
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

/** What one request has used. */
export interface Usage {
  /**
   * Bytes allocated on the V8 heap in its spans (garbage included): its synchronous code, and what runs behind promises and
   * callbacks where that is metered. One reading may be off by a page. Never negative: see `heap.uncertainRequests`.
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
export interface RouteStats {
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
  /** What each function of the app's stack has used, the heaviest first; empty without `Options.layers`. */
  layers: LayerStats[]
}

/** A function of the app's stack in the requests of one row, exclusive of what it passes the request to with `next()`. */
export interface LayerStats {
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

/** What `stats` returns. Fields marked optional are absent without a binary. */
export interface Stats {
  pid: number
  /** 0 for the main thread, else the worker's `threadId`. */
  thread?: number
  /** As in `Options.name`. */
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
    /**
     * Requests left out of their routes' `heapBytes`, because V8's own work has blurred the figure: a background compiler took or returned
     * memory, or V8 reused part of a young page. Their `count` is counted, so `heapBytes.count` may be less.
     */
    uncertainRequests: number
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
    /** Refused by `limit`, as too large. */
    limited: number
    /** Refused by `shed`. */
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
  /** What `shed` goes by. */
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
  /**
   * `heap-limit`: V8's limit and the container's do not fit each other; the advice names the flag to set. The other kinds are of what
   * is asked for: `large-response`, `disposer`, `unclosed`, `listener`, `timer`, `stream`, `retained`, `large-property`; and `leak`: memory grows with
   * requests, as {@link Stats.trend} has it.
   */
  findings: Finding[]
  /** Whether memory grows with requests: see {@link Trend}. */
  trend: Trends
  recorder: {
    /** The file; null if the record is in memory only. */
    path: string | null
    /** Its size, which never changes; 0 without a binary. */
    bytes: number
  }
  /** Internal errors of Plimsoll that it caught. Anything but 0 is a bug worth reporting. */
  internalErrors?: number
}

export interface Pressure {
  /** How hard `shed` is pressed: 0 admits all, 1 nothing. */
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
export interface Finding {
  kind: string
  /** Method and pattern (`GET /users/:id`), if known. */
  route: string | null
  /**
   * Where in the code it comes from, if known: `src/users.js:12:5`, of the source where Node has source maps on; with a module's name behind
   * it where the app called that. Of a function (a layer, a deferred one) file and line.
   */
  origin: string | null
  /** How often it was seen; of what grows, how much of it there was when it was last told (it is told again when there is a tenth more). */
  count: number
  /**
   * Of a thousand requests of that route (`retained`: of those watched); of kind `leak`, how many objects of `class` they leave behind. Null where it does not
   * apply.
   */
  perThousand: number | null
  firstSeen: number
  lastSeen: number
  /** `info` once it has stopped. */
  severity: 'info' | 'warning' | 'critical'
  advice: string
  /** Of kind `leak`: when it was seen to have stopped; the advice then says what was wrong. Null while it goes on. */
  withdrawnAt: number | null
  /** Of kind `leak`, null of others: bytes that a request of `route` keeps, of all requests where no route is known, … */
  bytesPerRequest: number | null
  /** … the interval of 95 % for that, … */
  low: number | null
  high: number | null
  /** … and how likely such growth is by chance. */
  p: number | null
  /** Of kind `leak`, with `leaks: { snapshots: true }`: the class of what stays, and how it is held, root first; null until that is known. */
  class: string | null
  path: string[] | null
}

/** Whether memory grows with requests, by whose memory it is; null with `leaks: false` and without a binary. */
export interface Trends {
  /** V8's heap: what lives after major collections. */
  heap: Trend | null
  /** Memory outside the heap that its objects hold: Buffers, ArrayBuffers. */
  external: Trend | null
  /** What is resident beside both: memory of other addons and of the C library, fragmentation. Null in a worker thread. */
  native: Trend | null
}

/**
 * A trend over what lives after major collections, against requests served (not against time: a ramp of traffic is no leak). Figures are null
 * while there are fewer than ten collections behind the warm-up.
 */
export interface Trend {
  /**
   * `learning`: not enough is known. `steady`: nothing that is more than noise. `uncertain`: it grows, but may be filling a cache, or one step.
   * `leaking`: it grows for certain, to the end and straight on, to where it never was, and six collections agree.
   */
  state: 'learning' | 'steady' | 'uncertain' | 'leaking'
  /** Points that the figures are of, at most 64; where there were more collections, one stands for several. */
  samples: number
  /** Growth in bytes per 1,000 requests (Theil–Sen slope), and its interval of 95 %. */
  bytesPerThousand: number | null
  low: number | null
  high: number | null
  /** Probability of such a trend by chance (Mann–Kendall, corrected for autocorrelation and for requests in flight). */
  p: number | null
  /** When the growth began; null while there is none. */
  since: number | null
  /** Times of the first of the points, and of the last collection that was looked at. */
  from: number | null
  to: number | null
}
