import type { IncomingMessage } from 'node:http'
import type { Size } from './limit'

// Options of `shed()`.

/** `low` requests are refused twice as soon as `normal` ones. `high` requests are refused only at full pressure. */
export type Priority = 'low' | 'normal' | 'high'

/**
 * Each of the four signals has a lower and an upper mark. Between the marks, the probability of a refusal rises from 0 to 1. The
 * signal under the most pressure decides. `false` switches a signal off.
 */
export interface ShedOptions {
  /**
   * Marks on the live heap after the last major collection, as shares of the old generation's limit, at most 2. That limit is
   * `heap_size_limit` less three semi-spaces. Default: `[0.75, 0.85]`.
   *
   * Garbage does not count. The used heap counts only if it outruns V8's collections, and only as far as requests in flight have
   * allocated since the last one.
   */
  heap?: readonly [lower: number, upper: number] | false
  /** Marks on RSS, as shares of the container's memory limit, at most 2. Default: `[0.85, 0.95]`. Off if there is no limit. */
  rss?: readonly [lower: number, upper: number] | false
  /**
   * Marks on the event-loop delay in milliseconds, at most 3,600,000. Default: `[250, 1000]`.
   *
   * The delay counts only if it lasts at least one second and three ticks in a row. A tick is due every 250 ms, and every 50 ms
   * while the loop is late. A single block of any length, and the first three seconds of the process, do not count.
   */
  delayMs?: readonly [lower: number, upper: number] | false
  /** Marks on the memory that the addon has allocated. Default: false. */
  native?: readonly [lower: Size, upper: Size] | false
  /**
   * Requests that are never refused: a path, several paths, or a function of the request. A path is compared with the path of the
   * whole URL, without the query. Default: `['/healthz', '/livez', '/readyz', '/health', '/metrics']`.
   *
   * A function that throws exempts nothing. Each failure is counted as an internal error, and the first is reported. An `async`
   * function is a `TypeError`.
   */
  exempt?: string | readonly string[] | ((req: IncomingMessage) => boolean)
  /**
   * Priority of all requests, or a function of the request. The function is called only under pressure. Default: `'normal'`.
   *
   * If the function throws or returns any other value, the request is `'normal'`. Each failure is counted as an internal error, and
   * the first is reported. An `async` function is a `TypeError`.
   */
  priority?: Priority | ((req: IncomingMessage) => Priority)
  /** Bounds of `Retry-After`, as whole seconds from 0 to 86,400. Each refusal draws a value between them. Default: `[1, 5]`. */
  retryAfterS?: readonly [from: number, to: number]
  /** `true`: refuses nothing, but counts and publishes what would be refused. Default: false. */
  report?: boolean
}
