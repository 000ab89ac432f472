import type { IncomingMessage } from 'node:http'
import type { InFlight } from './record'
import type { Priority } from './shed'

// Messages on the channels of `node:diagnostics_channel`. A message is created only if its channel has a subscriber.

/** Channel `plimsoll:limit`: `limit()` refused a body, or would have refused it with `report: true`. */
export interface LimitMessage {
  /** The request. Do not retain it. */
  req: IncomingMessage
  /** Route of the request; null if it is not known. */
  route: string | null
  /** `type` of the error. */
  type: 'entity.too.large' | 'budget.exceeded' | 'request.too.slow'
  /** What was exceeded, by `type`: the limit in bytes, the budget in bytes, or the minimum rate in bytes per second. */
  limit: number
  /** Declared `Content-Length` in bytes; undefined if the body was refused while it was counted. */
  length?: number
  /** Bytes that were counted; undefined if a declared length was refused. */
  received?: number
  /** True if `report: true` let the body pass. */
  reported: boolean
}

/** Channel `plimsoll:shed`: `shed()` refused a request, or would have refused it with `report: true`. */
export interface ShedMessage {
  /** The request. Do not retain it. */
  req: IncomingMessage
  /** Route of the request; null if it is not known. */
  route: string | null
  /** Priority of the request. */
  priority: Priority
  /** Pressure, 0 to 1. */
  level: number
  /** Value of `Retry-After`, in seconds. */
  retryAfterS: number
  /** True if `report: true` let the request pass. */
  reported: boolean
}

/** Channel `plimsoll:near-limit`: V8 reached its heap limit and was granted the reserve. Clear caches now. */
export interface NearLimitMessage {
  /** Time of the grant. */
  at: number
  /** Limit of the old generation before the grant. */
  limitBytes: number
  /** Bytes that V8 was granted beyond it. */
  grantedBytes: number
  /** Heap in use. */
  usedBytes: number
  /** The ten requests in flight that allocated most on the heap, the heaviest first. */
  inFlight: InFlight[]
  /** Number of all requests in flight. */
  inFlightTotal: number
}

/** Channel `plimsoll:blocked`: the event loop ticks again after it was blocked for a second or more. */
export interface BlockedMessage {
  /** Duration of the block, accurate to half a second. */
  blockedMs: number
  /** Method of the request whose synchronous code was on the stack; null if there was none. */
  method: string | null
  /** Path of that request, in the form that the option `urls` chooses; null if there was none. */
  path: string | null
  /** Route of that request; null if there was none, or if it is not known. */
  route: string | null
  /** Name of the function that blocked the loop; null if it has none, or if it is not known. */
  function: string | null
  /** Its line, as `src/report.js:12:5`; null if it is not known. With a source map it is the source's. */
  origin: string | null
  /** Up to eight frames of the app and of packages, as `slow (src/report.js:12:5)`, innermost first. Empty if not known. */
  stack: string[]
  /** True if native code blocked the loop. `origin` is then where JavaScript ran next: the call itself, or one shortly after it. */
  native: boolean
  /** Time of garbage collections during the block. */
  gcPauseMs: number
}
