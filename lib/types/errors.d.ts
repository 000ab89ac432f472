import type { Priority } from './shed'

// What guards hand to `next`.

/** What {@link limit} refuses a compressed body with, in the shape of body-parser's. */
export interface EncodingError extends Error {
  /** 415 for an encoding that is not known (or several), and a window of more than 8 MiB; 400 for a body that is not what it says. */
  status: 400 | 415
  statusCode: 400 | 415
  type: 'encoding.unsupported' | 'encoding.window' | 'encoding.invalid'
  expose: true
  /** As the request named it, in lower case. */
  encoding: string
  /** node:zlib's, for a body that is cut and for one that is corrupt or goes on behind its end; absent with 415. */
  code?: 'Z_BUF_ERROR' | 'Z_DATA_ERROR'
}

/** What {@link limit} refuses with, in the shape of body-parser's: handlers written for those work unchanged. */
export interface TooLargeError extends Error {
  status: 413
  statusCode: 413
  type: 'entity.too.large'
  expose: true
  /** The limit, in bytes. */
  limit: number
  /** Bytes declared by `Content-Length`; absent if the body was refused while it was counted. */
  length?: number
  /** The same as `length`. */
  expected?: number
  /** Bytes counted when the body was cut (inflated ones, if it was that); absent if a declared length was refused. */
  received?: number
  /** The bound on how much a compressed body may grow, if it was that. */
  ratio?: number
}

/** There is no room for this body in the budget of {@link LimitOptions}. In http-errors' shape; Express and connect send its headers. */
export interface OverBudgetError extends Error {
  status: 503
  statusCode: 503
  type: 'budget.exceeded'
  expose: false
  headers: { 'Retry-After': string }
  retryAfterS: number
  /** The budget, and what all bodies held of it; bytes. */
  limit: number
  inFlight: number
  /** As in {@link TooLargeError}. */
  length?: number
  expected?: number
  received?: number
}

/** The body came more slowly than {@link LimitOptions.minRate}. */
export interface TooSlowError extends Error {
  status: 408
  statusCode: 408
  type: 'request.too.slow'
  expose: true
  /** The rate, in bytes a second. */
  limit: number
  received: number
  length?: number
  expected?: number
}

/** What {@link shed} refuses with, in http-errors' shape. */
export interface OverloadedError extends Error {
  status: 503
  statusCode: 503
  type: 'server.overloaded'
  expose: false
  /** Express's own error handler and connect's send them. */
  headers: { 'Retry-After': string }
  retryAfterS: number
  priority: Priority
}

/** What {@link spool} refuses with when a body cannot be written. */
export interface SpoolError extends Error {
  /** 507 where there is no room: disk, quota or file size limit. 501 where there is no binary. */
  status: 507 | 500 | 501
  statusCode: 507 | 500 | 501
  type: 'spool.full' | 'spool.failed' | 'spool.unavailable'
  /** The system's: `ENOSPC`, `EDQUOT`, `EFBIG`, `EIO`, … */
  code?: string
  expose: false
}
