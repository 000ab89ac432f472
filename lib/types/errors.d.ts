import type { Priority } from './shed'

// Errors that Plimsoll's middleware passes to `next`. Recognise them by `type`, not by `instanceof`.

/** Error of `limit({ inflate })` for a compressed body that it cannot inflate. It has the shape of body-parser's error. */
export interface EncodingError extends Error {
  /** 415: the encoding is not supported, or the decoder's window is too large. 400: the body is not valid in its encoding. */
  status: 400 | 415
  statusCode: 400 | 415
  /**
   * `encoding.unsupported` (415): the encoding is unknown, or there are several.
   *
   * `encoding.window` (415): the decoder needs a window of more than 8 MiB, or one that can never fit into `inflate.memory`.
   *
   * `encoding.invalid` (400): the body is truncated, corrupt, or continues after its end.
   */
  type: 'encoding.unsupported' | 'encoding.window' | 'encoding.invalid'
  expose: true
  /** The request's `Content-Encoding`, in lower case. */
  encoding: string
  /**
   * Error code of `node:zlib`. `Z_BUF_ERROR`: the body is truncated. `Z_DATA_ERROR`: it is corrupt, or continues after its end.
   * Absent with 415.
   */
  code?: 'Z_BUF_ERROR' | 'Z_DATA_ERROR'
}

/** Error of `limit()` for a body over its limit. It has the shape of body-parser's error, so handlers for that one need no change. */
export interface TooLargeError extends Error {
  status: 413
  statusCode: 413
  type: 'entity.too.large'
  expose: true
  /** The limit that was exceeded, in bytes. */
  limit: number
  /** Declared `Content-Length` in bytes. Absent if the body was refused while it was counted. */
  length?: number
  /** Same as `length`. */
  expected?: number
  /** Bytes that were counted when the body was refused; inflated bytes for a compressed body. Absent if a declared length was refused. */
  received?: number
  /** Value of `inflate.ratio`. Present only if the body was refused for its compression ratio. */
  ratio?: number
}

/**
 * Error of `limit()` for a body that finds no room in the `budget`, or whose decoder finds no room in `inflate.memory`. It has the
 * shape of http-errors. Express and connect send its `headers`.
 */
export interface OverBudgetError extends Error {
  status: 503
  statusCode: 503
  type: 'budget.exceeded'
  expose: false
  headers: { 'Retry-After': string }
  /** Value of `Retry-After`, in seconds. */
  retryAfterS: number
  /** Size of the budget, or of `inflate.memory`, in bytes. */
  limit: number
  /** Bytes that all bodies, or all decoders, occupied. */
  inFlight: number
  /** As in {@link TooLargeError}. */
  length?: number
  /** As in {@link TooLargeError}. */
  expected?: number
  /** As in {@link TooLargeError}. */
  received?: number
}

/** Error of `limit()` for a body that arrives more slowly than `minRate`. */
export interface TooSlowError extends Error {
  status: 408
  statusCode: 408
  type: 'request.too.slow'
  expose: true
  /** The minimum rate, in bytes per second. It exceeds `minRate` for a body that occupies more than 1 MiB of a budget. */
  limit: number
  /** Bytes that had arrived. */
  received: number
  /** Declared `Content-Length` in bytes. Absent if none was declared. */
  length?: number
  /** Same as `length`. */
  expected?: number
}

/** Error of `shed()` for a request that it refuses. It has the shape of http-errors. */
export interface OverloadedError extends Error {
  status: 503
  statusCode: 503
  type: 'server.overloaded'
  expose: false
  /** Express's default error handler and connect's send these headers. */
  headers: { 'Retry-After': string }
  /** Value of `Retry-After`, in seconds. */
  retryAfterS: number
  /** Priority of the request. */
  priority: Priority
}

/** Error of `spool()` for a body that cannot be written. */
export interface SpoolError extends Error {
  /** 507: no room on the disk, in the quota, or below the file size limit. 500: any other disk error. 501: no binary. */
  status: 507 | 500 | 501
  statusCode: 507 | 500 | 501
  /** `spool.full` with 507, `spool.failed` with 500, `spool.unavailable` with 501. */
  type: 'spool.full' | 'spool.failed' | 'spool.unavailable'
  /** Error code of the system: `ENOSPC`, `EDQUOT`, `EFBIG`, `EIO`, … */
  code?: string
  expose: false
}
