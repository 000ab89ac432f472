import type { IncomingMessage } from 'node:http'

// Options of `limit()`.

/**
 * A size: a whole number of bytes, or `'<number><unit>'`, for example `'1.5mb'`.
 *
 * Units are `b`, `kb`, `mb`, `gb`, `tb`, `Ki`, `Mi`, `Gi` and `Ti`, in any case. All are powers of 1,024.
 *
 * Any other value throws a `TypeError`. `'10m'` throws because Express reads it as 10 bytes. `'500M'` throws because Kubernetes
 * reads it as 500,000,000 bytes.
 */
export type Size = number | string

/** One size for all bodies, sizes by content type, or a function of the request. */
export type Limits = Size | LimitsByType | ((req: IncomingMessage) => Size)

/**
 * Sizes by content type. A key is a type (`application/json`) or a family (`image/*`). `default` is for all other types, and for
 * bodies without a type.
 */
export interface LimitsByType {
  default: Size
  [type: `${string}/${string}`]: Size
}

export interface LimitOptions {
  /** Largest body that passes. A body of exactly this size passes. */
  limit: Limits
  /**
   * Limits by route. The limit of a matching key applies instead of `limit`. Default: none.
   *
   * A key is `'POST /uploads/:id'` or, for all methods, `'/files/*'`. Each segment of the path is literal, a parameter with any
   * name, or a `*` at the end.
   *
   * 1. Express: a key is for the route with the same pattern, mounts included. An earlier route may pass the request on with
   *    `next('route')`. Therefore the smallest limit of all matching routes that have a key applies. Routes without a key do not
   *    count. If the first matching route has no key, a key that matches by rule 3 counts too. Names given with `plimsoll.route()`
   *    do not count.
   * 2. A key that is spelled like the route is preferred to keys that differ in case or in a trailing slash. If several such keys
   *    match, the smallest limit applies. The same holds for keys that differ only in parameter names. If one key has a method and
   *    another has none, the first of the two applies.
   * 3. No matching route with a key (connect, plain `http`, a mounted function): the keys are compared with the whole path of the
   *    URL, in their order. The first exact match applies. An earlier key may match only in another case, with other slashes, or as
   *    `GET` for `HEAD`. Then the smallest limit of that key and the exact match applies. Without an exact match, `limit` is
   *    compared instead.
   */
  routes?: { [route: string]: Limits }
  /**
   * Limit that applies if a limit function throws, or returns a promise or no valid size. Allowed only together with a function.
   * Default: 0, which refuses every body.
   *
   * Each failure is counted as an internal error, and the first is reported. An `async` function is a `TypeError`.
   */
  fallback?: Size
  /**
   * `true`: the limit is decided when the body is first read. A `limit()` closer to the route then replaces this one, whether it is
   * larger or smaller. `false`: a later `limit()` can only lower this one. Default: false.
   */
  defer?: boolean
  /**
   * Bytes that all bodies in flight may occupy together, in all threads of the process. Default: none.
   *
   * A body occupies the bytes that have arrived, plus 64 KiB of a declared length, until its request ends. A compressed body
   * occupies its inflated size. From a budget of 1 MiB, the memory of its decoder counts too.
   *
   * A body without room is refused at once with an {@link OverBudgetError}. A body that could never fit is refused with a
   * {@link TooLargeError}.
   */
  budget?: Size | BudgetOptions
  /**
   * Minimum rate of a body, in bytes per second, at least 1. A slower body is refused with a {@link TooSlowError}. Default: none.
   *
   * `graceMs`: time credit of a client, in milliseconds, 1 to 3,600,000. Default: 10,000. Time uses the credit up, and bytes
   * restore it at the minimum rate. Time during which the app does not read is not counted.
   *
   * A body that occupies more than 1 MiB of a `budget` must be faster: by the square root of the MiB that it occupies.
   */
  minRate?: Size | { bytes: Size; graceMs?: number }
  /** `true`: refuses nothing, but counts and publishes what would be refused. Default: false. */
  report?: boolean
  /** Inflates compressed bodies. `true`: within the default bounds. An object: within the given bounds. Default: false. */
  inflate?: boolean | InflateOptions
  /** Bounds for the connection of a refused upload. */
  linger?: LingerOptions
}

export interface BudgetOptions {
  /** Size of the budget. From 1 MiB, an eighth of it (at most 16 MiB) is reserved for bodies up to 64 KiB. */
  bytes: Size
  /** Bytes that the bodies of one client may occupy. Each thread and each process counts its own bodies. Default: no bound. */
  perClient?: Size
  /**
   * Returns the name of the client, for servers with a proxy in front: `req => req.ip`. Allowed only together with `perClient`.
   * Default: the address of the connection; for IPv6, its /64 network.
   *
   * A name is cut after 256 characters. All requests without a name share one bound.
   */
  client?(req: IncomingMessage): string
}

/**
 * Inflates `gzip`, `deflate` (with zlib's header or raw), `br` and `zstd` bodies natively, in front of every consumer, and no
 * faster than the consumer reads.
 *
 * Consumers receive an identity body. `Content-Encoding` and `Content-Length` are removed from the request's headers and raw
 * headers, and `Transfer-Encoding: chunked` is set. An empty body stays empty.
 *
 * The limit bounds both the bytes that arrive and the bytes that they inflate to. Exceeding it is a {@link TooLargeError}.
 * `bodyBytes` counts the bytes that arrive.
 *
 * A body that cannot be inflated is an {@link EncodingError}, with `report: true` too. An unknown encoding, and several encodings,
 * are refused before anything is read. Other such errors go to the consumer of the body.
 *
 * Without a binary nothing is inflated. Bodies are passed on with their `Content-Encoding`, bounded by the limit, and one warning
 * reports it. The parser that inflates them (body-parser) must then bound the inflated size.
 */
export interface InflateOptions {
  /** Largest ratio of inflated size to compressed size, 1 to `Infinity`. Default: 100. A body over it is refused. */
  ratio?: number
  /** Inflated size up to which `ratio` is not checked. Default: `'1mb'`. */
  threshold?: Size
  /**
   * Bytes that all decoders of the process may occupy together: windows, tables and buffers. Default: `'64mb'`. A body whose
   * decoder has no room is refused with an {@link OverBudgetError}.
   */
  memory?: Size
}

/**
 * Bounds for the connection of a refused upload. The defaults suit most servers.
 *
 * A client that still sends does not read its answer if its connection is reset. Therefore Plimsoll answers with
 * `Connection: close`, half-closes the connection, and discards what still arrives within these bounds.
 *
 * At most 256 connections of a thread linger at once. They are closed when their server closes.
 */
export interface LingerOptions {
  /** Milliseconds in total, 0 to 600,000. Default: 10,000. Also the time that an error handler has to answer. */
  timeMs?: number
  /** Milliseconds without a byte, 0 to 600,000. Default: 3,000. */
  idleMs?: number
  /** Bytes to discard. Default: `'256mb'`. */
  bytes?: Size
  /** A declared remainder up to this size is read instead, and the connection serves the next request. Default: `'64kb'`. */
  drain?: Size
}
