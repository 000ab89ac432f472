// What `npx plimsoll show --json` prints, and what `lastDeath()` returns. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.

import type { Finding, Pressure, RouteStats, Stats, Trends } from './stats'

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
  /** Requests in flight. */
  inFlight: number
  /** RSS that is neither V8's heap nor external memory; null in a worker thread. */
  nativeBytes: number | null
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
   * `start`, `exit`, `uncaught-exception`, `limit`, `shed`, `blocked`, `near-limit`, `stats-file`, `recorder`, `last-death`, `trim`, `internal-error`.
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
  /**
   * How it ended, where it could say so itself; null else. `kind`: `exit`, `uncaught-exception`, `signal` (SIGTERM, SIGINT or SIGHUP: `detail`) or
   * `worker-end`.
   */
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
    /** Requests left out of their routes' `heapBytes`: V8's own work has blurred the figure. */
    uncertainRequests: number
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
    overBudget: number
    tooSlow: number
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
  /** Internal errors of Plimsoll that it caught. */
  internalErrors: number
  /** What plimsoll has evidence of; at most 128, 16 of which are for leaks; what does not fit is `(other)`. */
  findings: Finding[]
  trend: Trends
}

/** How a process ended, by the record that it left. */
export interface Death {
  /** The probable cause. `stop` is an ordinary stop, by SIGTERM, SIGINT or SIGHUP. */
  cause: 'heap limit' | 'cgroup OOM' | 'signal' | 'blocked loop' | 'exit' | 'uncaught exception' | 'reboot' | 'stop'
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
  /** The signal of an ordinary stop; null else. */
  signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | null
  /** The leak that had been found, and had not stopped; of several the largest. */
  finding: Finding | null
  /** What allocated most on the heap for one request: a route on average, or one request that was in flight. */
  heaviest: { method: string; route: string; heapBytes: number; requests: number; inFlight: boolean } | null
  /** What Node was started with. */
  script: string
  /** The record's file, for `npx plimsoll show`. */
  path: string
  /** The oldest and heaviest requests that it died with. */
  inFlight: InFlight[]
  /** How many there were. */
  inFlightTotal: number
}
