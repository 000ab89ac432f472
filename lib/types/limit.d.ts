import type { IncomingMessage } from 'node:http'

// What `limit()` takes.

/**
 * A whole number of bytes, or `'<number><unit>'` with the unit `b`, `kb`, `mb`, `gb` or `tb` in any case, where 1 kb is 1,024
 * bytes, as in Express. Everything else throws, `'10m'` too (which Express takes for 10 bytes).
 */
export type Size = number | string

/** One size for all bodies, one by content type, or a function of the request. */
export type Limits = Size | LimitsByType | ((req: IncomingMessage) => Size)

/** Keys are types (`application/json`), families (`image/*`) and `default`, for all others and for none. */
export interface LimitsByType {
  default: Size
  [type: `${string}/${string}`]: Size
}

export interface LimitOptions {
  /** The greatest body that passes. */
  limit: Limits
  /**
   * Limits by route, instead of `limit`. Keys are `'POST /uploads/:id'` or, for all methods, `'/files/*'`: each segment of the path is
   * literal, a parameter (of any name), or a `*` at the end.
   *
   * 1. In an Express app, a key is for the route with this pattern, mounts included. Any route that matches the request may run, because an earlier
   *    one may pass on with `next('route')`: of those that have a key, the smallest limit holds. Routes without a key do not count; if
   *    the first is such a route, the key by rule 3 counts as well. Names given with `plimsoll.route()` do not count.
   * 2. A key that is spelled like the route is preferred to those that differ in case or in a slash at the end. Of several such keys, and of keys
   *    that differ in names of parameters only, the smallest limit holds. Of a key with a method and one without, the first holds.
   * 3. If no route that matches has a key (connect, plain `http`, a mounted function), the keys are compared with the whole path of the URL, in their
   *    order: the first that matches exactly holds. If keys before it match only in another case, with other slashes, or a `GET` key for
   *    `HEAD`, the smallest of their limits and its own holds; of theirs and `limit`, if no key matches exactly.
   */
  routes?: { [route: string]: Limits }
  /**
   * What holds where a function throws or returns no size; that is counted as an internal error and reported once. Only beside a function.
   * Default: 0, every body is refused.
   */
  fallback?: Size
  /**
   * True: decides when the body is first read, and a `limit()` nearer to the route holds in its place, larger or not. Else one
   * that comes later can only lower it. Default: false.
   */
  defer?: boolean
  /**
   * The greatest number of bytes that all bodies in flight may hold, in all threads of the process. A body holds what has arrived of it, and of a
   * declared length 64 KiB ahead, until its request is over; a decoder's memory counts from a budget of 1 MiB on. A body without room is refused with an
   * {@link OverBudgetError} at once, one that could never have room with a {@link TooLargeError}. Default: none.
   */
  budget?: Size | BudgetOptions
  /**
   * Bytes a second that a body must come with. A client has `graceMs` in hand; time spends it, bytes give it back at this rate. Time in
   * which the app does not read is not counted. Who runs out is refused with a {@link TooSlowError}. A body that holds more than 1 MiB of a
   * `budget` must be faster: by the square root of the MiB that it holds. Default: none.
   */
  minRate?: Size | { bytes: Size /** Milliseconds, from 1. Default: 10,000. */; graceMs?: number }
  /** True: counts and publishes what would be refused, and refuses nothing. Default: false. */
  report?: boolean
  /** Whether compressed bodies are inflated, and under which bounds. Default: false. */
  inflate?: boolean | InflateOptions
  /** What becomes of the connection of a refused upload. */
  linger?: LingerOptions
}

export interface BudgetOptions {
  /** The budget. From 1 MiB on, an eighth of it (at most 16 MiB) is kept for bodies up to 64 KiB. */
  bytes: Size
  /**
   * The greatest number of bytes that the bodies of one client may hold in one thread: each worker thread and each process of a cluster counts its
   * own. Default: no bound.
   */
  perClient?: Size
  /**
   * Names the client, at most 256 bytes; for servers behind a proxy: `req => req.ip`. Requests without a name share one bound. Default: the address of the
   * connection, of IPv6 its /64 network.
   */
  client?(req: IncomingMessage): string
}

/**
 * `gzip`, `deflate` (with zlib's header or raw), `br` and `zstd` bodies are inflated natively, in front of every reader, as far as
 * that asks for more. Readers see an identity body: `Content-Encoding` and `Content-Length` are gone from the request's headers (also
 * the raw ones), `Transfer-Encoding: chunked` stands for a body of unknown length. The limit bounds what comes and what it is
 * inflated to; both are refused with a {@link TooLargeError}. `bodyBytes` count what comes.
 *
 * What cannot be inflated is an {@link EncodingError}, also with `report`: an unknown encoding, or several, before anything is read; the
 * rest comes to whoever reads. An empty body is an empty body.
 *
 * Without a binary bodies are passed on as they come, with their header, and one warning says so: the limit bounds what comes, and
 * who inflates it (body-parser) must bound that.
 */
export interface InflateOptions {
  /** A body that is inflated to more than so many times its size is refused, 1 to Infinity. Default: 100. */
  ratio?: number
  /** Up to this inflated size the ratio does not matter. Default: `'1mb'`. */
  threshold?: Size
  /**
   * The greatest number of bytes that all decoders of the process may hold together (windows, tables, buffers). A body whose decoder has no
   * room is refused with an {@link OverBudgetError}. Default: `'64mb'`.
   */
  memory?: Size
}

/**
 * A client that still sends does not read its answer when its connection is reset. So a refused one is answered with
 * `Connection: close`, our half of the connection is closed, and what still comes is thrown away within these bounds. All
 * connections that linger are closed when their server closes; of a thread at most 256 linger at once.
 */
export interface LingerOptions {
  /** Milliseconds in all. Also how long an error handler may take to answer. Default: 10,000. */
  timeMs?: number
  /** Milliseconds without a byte. Default: 3,000. */
  idleMs?: number
  /** Bytes that are thrown away. Default: `'256mb'`. */
  bytes?: Size
  /** A declared remainder up to this is read, and the connection serves the next request. Default: `'64kb'`. */
  drain?: Size
}
