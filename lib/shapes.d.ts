// What plimsoll's functions return, and `npx plimsoll show --json` prints: plain data. Sizes are bytes, `*Ms` are milliseconds, times are
// milliseconds since the epoch, everywhere below.

/** What the platform cannot tell. */
export type Unsupported = 'unsupported'

/** What `memory` resolves to. */
export interface Memory {
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

export interface MemoryPart {
  name: MemoryPartName
  /** Resident bytes. `'unsupported'` counts as 0: what it would be is in another part, `unexplained` in the end. */
  bytes: number | Unsupported
  /** What it is, in a sentence. */
  meaning: string
  /** What to do; null where nothing is to be done. */
  advice: string | null
}

export type MemoryPartName =
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

/** What `trim` resolves to. */
export interface Trimmed {
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
    /** Refused by `limit`. */
    limited: number
    /** Refused by `shed`. */
    shed: number
    /** What `report: true` only counted, of `shed()` and of `limit()`. */
    shedReported: number
    limitReported: number
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
export interface InFlight {
  method: string
  /** As `Options.paths` has it. */
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
export interface Sample {
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
export interface LiveHeap {
  at: number
  heapBytes: number
  externalBytes: number
  /** Of the process, half a second old at most. */
  rssBytes: number
  /** Requests ever tracked. */
  requestsTotal: number
}

/** One garbage collection. */
export interface Collection {
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
export interface RecordEvent {
  at: number
  /**
   * `start`, `exit`, `uncaught-exception`, `limit`, `shed`, `blocked`, `near-limit`, `stats-file`, `recorder`, `last-death`, `trim`, `fault`.
   */
  type: string
  route: string | null
  detail: string
}

/** What `npx plimsoll show --json` prints, one object a line. Fields are as in {@link Stats} unless said. */
export interface Record {
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
export interface Death {
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
