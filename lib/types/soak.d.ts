import type { Size } from './limit'

// What `soak()` takes and gives. Sizes are bytes; a rate is a request's.

export interface SoakOptions {
  /**
   * What is driven: `'GET /users/:id'`, whose parameters are filled with numbers, a new one for each request, or an object. Default: those of `har` or
   * `from`, else the GET routes of the Express app.
   */
  routes?: readonly (string | SoakRoute)[]
  /** A HAR file: each method and path is a route, its requests are sent one after the other, and again. */
  har?: string
  /** The record of a running server, by name, folder or file: its GET routes, those that are asked for most first. */
  from?: string
  /** What a request may keep: of the heap, of external memory, and of malloc (there at least 256). Default: 48 bytes, and 256 of malloc. */
  max?: Size
  /** Of a block, behind which memory is looked at, 10 to 100,000. Default: 25 to 150, by how slow they are and how much they keep. */
  requests?: number
  /** Blocks of a route at most, 16 to 1,000; most are decided after 11 to 20. Default: 60. */
  rounds?: number
  /** Requests of each route before anything counts. Default: 500. */
  warmup?: number
  /** Each has one request at a time, and stays open. Default: 4. */
  connections?: number
  /** How long an answer may take. Default: 10,000. */
  timeoutMs?: number
  /** How long the app may take until it listens. Default: 30,000. */
  startMs?: number
  /** Waits so long behind each block, for an app that goes on working behind its answers. Default: 0. */
  settleMs?: number
  /** Whether sites and classes are looked for where a route fails. Default: true. */
  evidence?: boolean
  /** Arguments of the app. */
  args?: readonly string[]
  /** Arguments of its Node: `['--import', 'tsx']`. */
  execArgv?: readonly string[]
  /** On top of this process's, `NODE_ENV=production` (unless it is set) and `PORT=0`. */
  env?: { readonly [name: string]: string }
  /** Its working folder. Default: this process's. */
  cwd?: string
  /** Another Node's binary. Default: this one. */
  node?: string
}

export interface SoakRoute {
  /** A method and a path or pattern, by which it is reported. */
  route: string
  /** What is sent: a path, in which `:id` is the request's number and `{1..100}` counts up to 100 and begins again; or a function of the number. */
  path?: string | ((number: number) => string)
  /** What is neither a string nor a Buffer is sent as JSON. */
  body?: unknown | ((number: number) => unknown)
  headers?: { readonly [name: string]: string } | ((number: number) => { readonly [name: string]: string })
  /** The client goes away when the first of the answer's body is there. Default: false. */
  abort?: boolean
  /** What is right. Default: 2xx and 3xx. */
  status?: number | readonly number[]
  /** A client waits for up to so long before each request. Default: 0. */
  pauseMs?: number
  /** Not driven: so many are asked for at the start, and stay open, as those of server-sent events. */
  hold?: number
  /** Not driven: so many connections ask once at the start, and stay open. */
  idle?: number
  /** Of a block of this route. */
  requests?: number
}

export type SoakVerdict = 'passed' | 'failed' | 'undecided'

/** `String(result)` is the page that the command prints. */
export interface SoakResult {
  /** The module's path, from where the process runs. */
  app: string
  node: string
  /** Failed if any route has, undecided if any is and none has failed. */
  verdict: SoakVerdict
  seconds: number
  maxBytesPerRequest: number | null
  notes: string[]
  routes: SoakRouteResult[]
}

export interface SoakRouteResult {
  route: string
  verdict: SoakVerdict
  /** Those that count, behind the warm-up. */
  requests: number
  rounds: number
  requestsPerRound: number
  /** Of the heap, and where one of them grows too, of external memory or malloc: the larger, since the one mostly holds the other. */
  bytesPerRequest: { value: number; low: number; high: number }
  /** What the platform does not tell is missing. */
  quantities: { [Name in SoakQuantityName]?: SoakQuantity }
  /** Functions that allocate what stays, that which grows most first; of a route that failed. */
  sites: { origin: string; function: string; bytesPerRequest: number; low: number; high: number; share: number }[]
  /** What is kept: how many more for 1,000 requests, what they retain a request, and the shortest way from the global object to a new one. */
  classes: { name: string; perThousand: number; retainedBytesPerRequest: number; path: string[] }[]
  /** What the descriptors that stay are open on: a path, or `socket`. */
  files: { name: string; perThousand: number }[]
  /** Why there is less evidence, or none against it after all. */
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
  title: string
  unit: 'bytes' | 'count'
  /** `open`: neither certain growth nor certainly none. */
  verdict: 'over' | 'under' | 'open'
  /** The slope of the end of the series with its interval of 95 %; null: too few rounds. */
  perRequest: number | null
  low: number | null
  high: number | null
  /** What was allowed. */
  bound: number
}

/**
 * Drives an app's routes in a process of its own, and says what each keeps a request. `app`: the path or `file:` URL of a module that exports an Express
 * app, a function `(req, res)`, an `http.Server`, or a function or promise that makes one, or of a script that listens by itself.
 *
 * Rejects with a `TypeError` for what it does not take, and with a {@link SoakError} where there can be no verdict.
 */
export type Soak = (app: string | URL, options?: SoakOptions) => Promise<SoakResult>

/** No server, an answer that was not expected, a crash: with what the app has printed last. */
export interface SoakError extends Error {
  code: 'ERR_PLIMSOLL_SOAK'
}
