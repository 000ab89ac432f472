import type { IncomingMessage } from 'node:http'
import type { Size } from './limit'

// What `spool()` takes and gives.

export interface SpoolOptions {
  /**
   * The largest body that stays in memory. All of them together hold at most 64 MiB (or `memory`, if that is more): beyond, smaller
   * bodies go to a file too. Default: `'256kb'`.
   */
  memory?: Size
  /**
   * Folder for the files. One on tmpfs is memory, and gets one warning. `moveTo` links within the file system, and copies from one to another.
   * Default: `os.tmpdir()`.
   */
  dir?: string
  /**
   * Which bodies: a type like `'image/png'`, `'image/*'` or `'*' + '/*'`, several of them, or a function of the request. The others are left
   * unread for whoever comes next. Default: all.
   */
  type?: string | readonly string[] | ((req: IncomingMessage) => unknown)
  /** The same as a {@link limit} in front, for these bodies alone. Default: none. */
  limit?: Size
}

/**
 * A body that {@link spool} has read: what `req.body` is behind it. Read it as often as wanted, several times at once too. It is freed when
 * the response ends (or the connection closes): every use after that, and every read that is then at work, fails with an `Error`
 * whose `code` is `'ERR_PLIMSOLL_SPOOLED_OVER'`. A move that has begun goes to its end.
 */
export interface Spooled {
  /** Bytes. */
  readonly size: number
  /**
   * A new stream of the whole body, which reads only as fast as it is read. Like a request's own, it emits an `'error'` only if somebody listens
   * for it (`pipeline` and `for await` do).
   */
  stream(): import('node:stream').Readable
  buffer(): Promise<Buffer>
  /** As UTF-8, without a byte order mark. */
  text(): Promise<string>
  /** Rejects with express.json()'s error (400, `type: 'entity.parse.failed'`) for what is no JSON. */
  json<T = unknown>(): Promise<T>
  /**
   * Gives the body a path: by a link where it lies in a file of the same file system (nothing is copied, the first time), else by a copy that
   * gets its name once it is whole. Not flushed to the disk. The mode is what the umask leaves of 0666.
   *
   * Rejects with Node's codes: `EEXIST` where there is something at the path, unless `overwrite` is true, which replaces a file at
   * one stroke; `ENOENT`, `EACCES`, `ENOSPC`, …
   */
  moveTo(path: string | URL, options?: { overwrite?: boolean }): Promise<void>
}
