import type { Size } from './limit'

// Options and result of `soak()`. Sizes are bytes. A rate is per request.

export interface SoakOptions {
  /**
   * Routes to drive: `'GET /users/:id'` or an object. Parameters of a pattern are filled with the number of the request. Default:
   * the routes of `har` or `from`, otherwise the GET routes of the Express app that answer one request with 2xx or 3xx. `notes` name
   * the others.
   *
   * Only one of `routes`, `har` and `from` is allowed.
   */
  routes?: readonly (string | SoakRoute)[]
  /** Path of a HAR file, with at most 100 routes. Each method and path is a route. Its requests are sent in order, repeatedly. */
  har?: string
  /**
   * Record of a running server: its name, its folder or its file. The 20 most frequent GET routes that answered with 2xx or 3xx are
   * driven.
   */
  from?: string
  /**
   * Bytes that a request may retain: on the heap, in external memory and in malloc. For malloc at least 256. Default: 48, and 256
   * for malloc.
   */
  max?: Size
  /**
   * Requests in a block, 10 to 100,000. Memory is measured after each block. Default: 25 to 150, depending on how slow the requests
   * are and how much they retain.
   */
  requests?: number
  /**
   * Largest number of blocks of a route, 16 to 1,000. Default: 60. Without growth, all routes together need 11 to 20. A route that
   * grows needs as many of its own.
   */
  rounds?: number
  /** Requests of each route before measuring begins, 1 to 1,000,000. Default: 500. */
  warmup?: number
  /** Number of connections, 1 to 1,000. Default: 4. Each stays open and has one request at a time. */
  connections?: number
  /** Milliseconds that an answer may take, 1 to 86,400,000. Default: 10,000. */
  timeoutMs?: number
  /** Milliseconds until the app must listen, 1 to 86,400,000. Default: 30,000. */
  startMs?: number
  /** Milliseconds to wait after each block, 0 to 86,400,000, for an app that works on after its answers. Default: 0. */
  settleMs?: number
  /** Whether to search allocation sites and classes for a route that fails. Default: true. */
  evidence?: boolean
  /** Arguments of the app. Default: none. */
  args?: readonly string[]
  /** Arguments of its Node, for example `['--import', 'tsx']`. Default: none. */
  execArgv?: readonly string[]
  /**
   * Environment variables of the app. They override those of this process, `NODE_ENV=production` (set only if absent) and `PORT=0`.
   * Default: none.
   */
  env?: { readonly [name: string]: string }
  /** Working folder of the app. Default: that of this process. */
  cwd?: string
  /** Path of another Node binary. Default: that of this process. */
  node?: string
}

export interface SoakRoute {
  /**
   * Method and path or pattern. The result reports the route by it. `'WS /feed'`: each request opens a WebSocket connection, sends
   * `body` as a message if there is one, and closes.
   */
  route: string
  /**
   * Path to send, or a function of the request's number. In a string, `:id` becomes the number, and `{1..100}` counts up to 100 and
   * begins again. Default: the path in `route`.
   */
  path?: string | ((number: number) => string)
  /** Body to send, or a function of the request's number. A body that is neither a string nor a Buffer is sent as JSON. */
  body?: unknown | ((number: number) => unknown)
  /** Headers to send, or a function of the request's number. */
  headers?: { readonly [name: string]: string } | ((number: number) => { readonly [name: string]: string })
  /**
   * `true`: the client disconnects when the first part of the answer's body has arrived. `'upload'`: it disconnects when it has sent
   * the first half of `body` (by default 128 KiB). Default: false.
   */
  abort?: boolean | 'upload'
  /** Status codes to accept, 200 to 599. Default: 2xx and 3xx. */
  status?: number | readonly number[]
  /** Largest pause of a client before each request, in milliseconds, 0 to 86,400,000. Each pause is random. Default: 0. */
  pauseMs?: number
  /**
   * Number of requests, 0 to 10,000, that are sent at the start and whose answers stay open, such as server-sent events. Default:
   * 0. The route is then not driven.
   */
  hold?: number
  /**
   * Number of connections, 0 to 10,000, that send one request at the start and then stay open. Default: 0. The route is then not
   * driven.
   */
  idle?: number
  /** Requests in a block of this route, 10 to 100,000. Default: {@link SoakOptions.requests}. */
  requests?: number
}

export type SoakVerdict = 'passed' | 'failed' | 'undecided'

/** Result of `soak()`. `String(result)` is the page that `npx plimsoll soak` prints. */
export interface SoakResult {
  /** Path of the app's module, relative to the working folder. */
  app: string
  /** Version of the app's Node, or the path of another binary. */
  node: string
  /** `failed` if any route failed. Otherwise `undecided` if any route is undecided. Otherwise `passed`. */
  verdict: SoakVerdict
  /** Duration of the run, in seconds. */
  seconds: number
  /** {@link SoakOptions.max} in bytes; null if it was not given. */
  maxBytesPerRequest: number | null
  /** Remarks about the run, such as routes that were not driven, or the middleware to look at if all routes leak alike. */
  notes: string[]
  /** One result per driven route. */
  routes: SoakRouteResult[]
}

export interface SoakRouteResult {
  /** Method and path or pattern. */
  route: string
  verdict: SoakVerdict
  /** Requests that were measured, without the warm-up. */
  requests: number
  /** Blocks that were measured. */
  rounds: number
  /** Requests in a block. */
  requestsPerRound: number
  /**
   * Bytes that a request retains, with the interval of 95 %.
   *
   * It is the growth of the heap. If external memory or malloc exceeds its bound too, the larger of those two is added. They are
   * not both added, because malloc contains most external memory.
   *
   * Routes that passed together share one series. Each then has an equal part of its growth, and an interval up to all of it.
   */
  bytesPerRequest: { value: number; low: number; high: number }
  /** Every measured quantity. A quantity that the platform does not report is absent. */
  quantities: { [Name in SoakQuantityName]?: SoakQuantity }
  /**
   * Allocation sites of a route that failed: functions that allocate what stays, the largest growth first. `origin` is file and
   * line. `share` is the part of all sampled growth, 0 to 1.
   */
  sites: { origin: string; function: string; bytesPerRequest: number; low: number; high: number; share: number }[]
  /**
   * What a route that failed retains: one row per leak, at most three, the largest first. `perThousand`: additional objects per 1,000
   * requests. `retainedBytesPerRequest`: bytes that they retain per request. `path`: a retaining path to a new one, root first.
   * `holder`: what retains them, such as `AuditTrail.entries (a Map in services/audit.js)`. `addedBy`: the functions that add to it.
   * `package`: name and version of the package of the holder. Null where it is not known.
   */
  classes: {
    name: string
    perThousand: number
    retainedBytesPerRequest: number
    path: string[]
    holder: string | null
    addedBy: string | null
    package: string | null
  }[]
  /**
   * What the additional descriptors of a route that failed are open on: a path, `socket` or `pipe`. `perThousand`: per 1,000
   * requests.
   */
  files: { name: string; perThousand: number }[]
  /** Remarks, such as why evidence is missing, or why growth is not charged to the route. */
  notes: string[]
}

export type SoakQuantityName =
  | 'heap'
  | 'external'
  | 'malloc'
  | 'descriptors'
  | 'sockets'
  | 'timers'
  | 'listeners'
  | 'retained'

export interface SoakQuantity {
  /** Name of the quantity, for people. */
  title: string
  unit: 'bytes' | 'count'
  /** `over`: growth above `bound` is certain. `under`: growth is below `bound`. `open`: neither is certain. */
  verdict: 'over' | 'under' | 'open'
  /** Growth per request at the end of the series; null if there were too few blocks. */
  perRequest: number | null
  /** Lower end of its 95 % interval. */
  low: number | null
  /** Upper end of its 95 % interval. */
  high: number | null
  /** Growth per request that is allowed. */
  bound: number
}

/**
 * Load test for leaks. Starts an app in a process of its own, drives its routes, and resolves to the bytes that each route retains
 * per request.
 *
 * `app` is the path or `file:` URL of a module. The module exports an Express app, a function `(req, res)`, an `http.Server`, or a
 * function or promise that makes one of them. It may also be a script that listens by itself.
 *
 * Rejects with a `TypeError` for an invalid argument. Rejects with a {@link SoakError} if there can be no verdict.
 */
export type Soak = (app: string | URL, options?: SoakOptions) => Promise<SoakResult>

/** There is no verdict: no server, an unexpected answer, a crash, or no binary. The message has what the app printed last. */
export interface SoakError extends Error {
  code: 'ERR_PLIMSOLL_SOAK'
}
