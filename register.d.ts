import type * as plimsoll from './index'

/**
 * The configuration of `node --import plimsoll/register app.js`, which tracks every HTTP server of the process without a change of
 * the app. It is exported by `plimsoll.config.js`, `.mjs`, `.cjs` or `.json`, beside the `package.json` that is nearest to the working
 * directory. `PLIMSOLL_OPTIONS` (JSON) replaces its options one by one.
 *
 * If it is wrong, one warning (`PLIMSOLL_CONFIG`) names the option, and the app runs without Plimsoll.
 *
 * @example
 * /** @type {import('plimsoll/register').Config} *\/
 * module.exports = { name: 'shop', limit: '10mb', metrics: { port: 9464 } }
 */
export interface Config extends plimsoll.Options {
  /**
   * Refuses bodies in front of the app, as {@link plimsoll.limit} does. Default: none. The client receives a plain text, since the
   * app's error handler is not reached. Keys of `routes` are compared with the path.
   */
  limit?: plimsoll.Limits | plimsoll.LimitOptions | false
  /** Refuses requests in front of the app while the process is under pressure. `true`: with the defaults. Default: false. */
  shed?: plimsoll.ShedOptions | boolean
  /**
   * Serves Prometheus metrics. A path: in front of the app. `port`: at `http://127.0.0.1:<port>/metrics`; of several processes with
   * one port, one serves it. Default: false.
   */
  metrics?: string | { port: number } | false
}
