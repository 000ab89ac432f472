// Results of `npx plimsoll show --json` and `lastDeath()`. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since
// the epoch.

import type { Finding, Pressure, RouteStats, Stats, Trends } from './stats'

/** A request that has not ended. */
export interface InFlight {
  method: string
  /** Path, in the form that the option `urls` chooses. */
  path: string
  /** Mounted pattern of the route; null until it is known. */
  route: string | null
  /** Time since the request entered. */
  ageMs: number
  /** Whether its synchronous code is on the stack. For a dead process: whether it was at the last heartbeat. */
  running: boolean
  /** Bytes that it has allocated on the V8 heap so far. */
  heapBytes: number
  /** Growth of memory outside the heap (Buffers, ArrayBuffers) in its code. */
  externalBytes: number
  /** Memory that the addon has allocated for it and not freed. */
  nativeBytes: number
  /** Bytes of its body that have arrived. */
  bodyBytes: number
  startedAt: number
  /** True if the row was written while it was read, so it may be inconsistent. Absent otherwise. */
  torn?: boolean
}

/** Memory at one moment. A sample is taken every half second. */
export interface Sample {
  at: number
  /** Resident set size. */
  rssBytes: number
  /** Heap in use, garbage included. */
  heapUsedBytes: number
  /** V8's heap limit. */
  heapLimitBytes: number
  /** Memory outside the heap that JavaScript objects own. */
  externalBytes: number
  /** Heap that V8 has reserved. */
  heapTotalBytes: number
  /** Live heap after the last major collection; null before the first. */
  heapLiveBytes: number | null
  /** Memory that the container uses; null without a container. */
  cgroupUsedBytes: number | null
  /** Memory that the addon has allocated. */
  nativeAllocatedBytes: number
  /** Requests in flight. */
  inFlight: number
  /** Requests tracked since the start. */
  requestsTotal: number
  /** How long the event loop had been blocked; 0 if it was not blocked. */
  blockedMs: number
  /** Delay of the last tick. */
  lagMs: number
  /** Sum of all collections' pauses since the start. */
  gcPauseMs: number
}

/** The live heap: what is on the heap right after a major collection. It contains no garbage. */
export interface LiveHeap {
  at: number
  /** Size of the live heap. */
  heapBytes: number
  /** Memory outside the heap that JavaScript objects own. */
  externalBytes: number
  /** RSS of the process, at most half a second old. */
  rssBytes: number
  /** Requests tracked since the start. */
  requestsTotal: number
  /** Requests in flight. */
  inFlight: number
  /** RSS less V8's heap and external memory; null in a worker thread. */
  nativeBytes: number | null
}

/** One garbage collection. */
export interface Collection {
  at: number
  /** Kind of the collection, as in {@link Stats.gc}. */
  kind: string
  pauseMs: number
  /** Heap in use before the collection. */
  beforeBytes: number
  /** Heap in use after the collection. */
  afterBytes: number
  /** Memory outside the heap that JavaScript objects own. */
  externalBytes: number
}

/** An event in the record. */
export interface RecordEvent {
  at: number
  /**
   * `start`, `exit`, `uncaught-exception`, `limit`, `shed`, `blocked`, `near-limit`, `stats-file`, `recorder`, `last-death`,
   * `trim`, `snapshot`, `allocation-sites`, `retaining-path` or `fault`.
   */
  type: string
  route: string | null
  /** Description of the event, one line. */
  detail: string
}

/**
 * The record of one process or worker thread. `npx plimsoll show --json` prints one per line. Fields without a comment are as in
 * {@link Stats}.
 */
export interface Record {
  pid: number
  /** Whether the process is alive: whether it has its record's lock. A pid alone is no evidence. */
  alive: boolean
  startedAt: number
  /** Time of the last heartbeat. The sampler thread writes one every half second. */
  lastHeartbeat: number
  /** How long the event loop had been blocked at the last heartbeat; 0 if it was not blocked. */
  blockedMs: number
  name: string
  thread: number
  /** Path of the record's file. */
  path: string | null
  /** Script that Node was started with. */
  script: string
  nodeVersion: string
  platform: string
  /** Boot id of the kernel. With `processStartTicks` it identifies the process, because pids are reused. */
  bootId: string
  /** Start time of the process in clock ticks since boot. */
  processStartTicks: number
  /**
   * End of the process, if the process recorded it; null otherwise. `kind` is `exit`, `uncaught-exception`, `signal` or
   * `worker-end`. For `signal`, `detail` is SIGTERM, SIGINT or SIGHUP.
   */
  exit: { kind: string; code: number; at: number; detail: string } | null
  /** Probable cause of the death of a dead process. Absent if the process is alive. */
  death?: Pick<Death, 'cause' | 'evidence' | 'at'>
  /** Whether a later start has reported this death. */
  reported: boolean
  /** True: the file is a copy that is written four times a second (on a disk). False: the file is the memory itself (on tmpfs). */
  mirrored: boolean
  /** Number of rows that were written during every attempt to read them. They are left out or marked as torn. */
  tornRows: number
  process: Required<Stats>['process'] & { rssBytes: number }
  heap: {
    usedBytes: number
    totalBytes: number
    limitBytes: number
    externalBytes: number
    mallocedBytes: number
    /** Heap memory that is committed and was touched. */
    physicalBytes: number
    liveBytes: number | null
    liveAt: number | null
    allocatedBytes: number
    attributedBytes: number
    uncertainRequests: number
    exact: boolean
    /** When the JavaScript thread published these figures. */
    at: number
  }
  /** The addon's own allocator. `supported` is false if it is not in use; the figures are then 0. */
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
    overBudget: number
    tooSlow: number
    bodyHeldBytes: number
    bodyBytes: number
  }
  pressure: Pressure
  nearLimit: { grants: number; at: number | null }
  gc: { kind: string; count: number; pauseMs: number }[]
  /** Requests that had not ended, oldest first. */
  inFlight: InFlight[]
  /** The last samples, oldest first. */
  samples: Sample[]
  /** The last collections, oldest first. */
  collections: Collection[]
  /** The live heap after the last major collections, oldest first. */
  liveHistory: LiveHeap[]
  routes: RouteStats[]
  /** The last events, oldest first. */
  events: RecordEvent[]
  faults: number
  /** At most 128 findings, 16 of them reserved for leaks. Further ones are counted as `(other)`. */
  findings: Finding[]
  trend: Trends
}

/** How a process ended, judged from the record that it left. */
export interface Death {
  /**
   * Probable cause.
   *
   * - `heap limit`: V8 ran out of heap.
   * - `cgroup OOM`: the kernel's OOM killer ended the process, because the container was out of memory.
   * - `blocked loop`: the event loop had been blocked for 3 s or more, so a watchdog or liveness probe is the likely sender of the
   *   signal.
   * - `uncaught exception`: nothing caught an exception.
   * - `exit`: the process ended by itself.
   * - `stop`: an ordinary stop by SIGTERM, SIGINT or SIGHUP.
   * - `reboot`: the machine was restarted.
   * - `signal`: none of these. SIGKILL, another signal without a handler, or a crash in native code.
   */
  cause: 'heap limit' | 'cgroup OOM' | 'signal' | 'blocked loop' | 'exit' | 'uncaught exception' | 'reboot' | 'stop'
  /** Evidence for the cause, one sentence with figures. */
  evidence: string
  pid: number
  /** Time of death: the recorded end, otherwise the latest time in the record. */
  at: number
  startedAt: number
  /** Resident set size at the last sample. */
  rssBytes: number
  /** Heap in use, as last published. */
  heapUsedBytes: number
  /** V8's heap limit. */
  heapLimitBytes: number
  /** Memory limit of the container; null if there was none. */
  cgroupLimitBytes: number | null
  /** Exit code; null if the process did not record one, and for a signal. */
  exitCode: number | null
  /** Signal that ended the process, if the record has it; null otherwise. */
  signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | null
  /** The open leak with the most bytes per request; null if there was none. A leak is open until it has stopped. */
  finding: Finding | null
  /**
   * What allocated most on the heap per request: a route on average, or one request in flight (`inFlight: true`). Null if nothing
   * is known.
   */
  heaviest: { method: string; route: string; heapBytes: number; requests: number; inFlight: boolean } | null
  /** Script that Node was started with. */
  script: string
  /** Path of the record's file, for `npx plimsoll show`. */
  path: string
  /** Requests in flight at the end: the ten heaviest, then the ten oldest, each only once. */
  inFlight: InFlight[]
  /** Number of all requests in flight at the end. */
  inFlightTotal: number
}
