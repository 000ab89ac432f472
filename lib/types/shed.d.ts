import type { IncomingMessage } from 'node:http'
import type { Size } from './limit'

// What `shed()` takes.

/** Low ones are refused twice as soon as normal ones, high ones only at full. */
export type Priority = 'low' | 'normal' | 'high'

export interface ShedOptions {
  /**
   * Marks on the live heap (after the last major collection), as shares of what the old generation may hold: `heap_size_limit` less
   * three semi-spaces. Used heap counts only where it outruns V8's collections, and as far as the requests in flight have allocated it
   * since. Default: `[0.75, 0.85]`.
   */
  heap?: readonly [lower: number, upper: number] | false
  /** Marks on the resident set, as shares of the cgroup's memory limit; without one it is not looked at. Default: `[0.85, 0.95]`. */
  rss?: readonly [lower: number, upper: number] | false
  /**
   * Marks on how late the event loop is, in milliseconds, while it stays late for at least three ticks in a row (a tick is due every 250 ms).
   * One block of any length, and the first three seconds, do not count. Default: `[250, 1000]`.
   */
  delayMs?: readonly [lower: number, upper: number] | false
  /** Marks on the memory that the addon has allocated. Default: false. */
  native?: readonly [lower: Size, upper: Size] | false
  /**
   * Paths of the whole URL that are never refused, or a function that tells. One that throws exempts nothing; it is counted as
   * an internal error and reported once. Default: `['/healthz', '/livez', '/readyz', '/health', '/metrics']`.
   */
  exempt?: string | readonly string[] | ((req: IncomingMessage) => boolean)
  /**
   * A request's priority, for all or by a function. It is called under pressure only; what throws or returns anything else
   * makes a normal request, is counted as an internal error and reported once. Default: `'normal'`.
   */
  priority?: Priority | ((req: IncomingMessage) => Priority)
  /** Bounds of `Retry-After` in seconds; each refusal draws one. Default: `[1, 5]`. */
  retryAfterS?: readonly [from: number, to: number]
  /** True: counts and publishes what would be refused, and refuses nothing. Default: false. */
  report?: boolean
}
