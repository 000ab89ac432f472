import type { IncomingMessage } from 'node:http'
import type { Size } from './limit'

// Options of `spool()`, and the body that it puts into `req.body`.

export interface SpoolOptions {
  /**
   * Largest body that stays in memory. Larger ones go to a file. Default: `'256kb'`.
   *
   * All bodies together occupy at most 64 MiB, or `memory` if that is more. Beyond it, smaller bodies go to a file too.
   */
  memory?: Size
  /**
   * Existing folder for the files. Default: `os.tmpdir()`. A missing or unwritable folder throws.
   *
   * Choose a folder on the file system where `moveTo()` will put the bodies: there it links the file instead of copying it. A
   * folder on tmpfs is memory, and produces one warning.
   */
  dir?: string
  /**
   * Bodies to read: a content type (`'image/png'`, `'image/*'`, `'*' + '/*'`), several of them, or a function of the request. Other
   * bodies stay unread for the next middleware. Default: all.
   *
   * If the function throws, the body is read. Each failure is counted as an internal error, and the first is reported.
   */
  type?: string | readonly string[] | ((req: IncomingMessage) => unknown)
  /** Limit of these bodies, the same as a `limit()` in front of `spool()`. Default: none. */
  limit?: Size
}

/**
 * A body that `spool()` has read, in `req.body`. It may be read several times, also concurrently.
 *
 * The body is freed when the response ends or the connection closes. A later use, and a read that is still active then, fails with
 * an `Error` with the code `'ERR_PLIMSOLL_SPOOLED_OVER'`. A move that has begun completes.
 */
export interface Spooled {
  /** Size in bytes. */
  readonly size: number
  /**
   * Returns a new stream of the whole body. It reads only as fast as its consumer.
   *
   * It emits `'error'` only if there is a listener for it, like the stream of a request. `pipeline` and `for await` add one.
   */
  stream(): import('node:stream').Readable
  /** Resolves to the whole body. Rejects with a `RangeError` if the body is larger than the largest Buffer. */
  buffer(): Promise<Buffer>
  /** Resolves to the body as UTF-8 text, without a byte order mark. */
  text(): Promise<string>
  /** Resolves to the parsed body. Rejects with the error of `express.json()` (400, `type: 'entity.parse.failed'`) for invalid JSON. */
  json<T = unknown>(): Promise<T>
  /**
   * Moves the body to a path. The file at the path is always complete. It is not flushed to the disk. Its mode is 0666 less the
   * umask.
   *
   * A body in a file on the same file system is linked, and no bytes are copied. In all other cases the body is copied: another
   * file system, a body in memory, or a second call.
   *
   * Rejects with Node's codes: `ENOENT`, `EACCES`, `ENOSPC`, … An existing file is `EEXIST`. With `overwrite: true` it is replaced
   * atomically.
   */
  moveTo(path: string | URL, options?: { overwrite?: boolean }): Promise<void>
}
