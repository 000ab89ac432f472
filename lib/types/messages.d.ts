import type { IncomingMessage } from 'node:http'
import type { InFlight } from './record'
import type { Priority } from './shed'

// What is published on node:diagnostics_channel.

/** On `plimsoll:limit` of `node:diagnostics_channel`: a body was refused, or would have been. */
export interface LimitMessage {
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
export interface ShedMessage {
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
export interface NearLimitMessage {
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
export interface BlockedMessage {
  /** For how long, to half a second. */
  blockedMs: number
  /** The request whose synchronous code was on the stack; null where none was. */
  method: string | null
  path: string | null
  route: string | null
}
