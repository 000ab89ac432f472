'use strict'

/*
 * `node --import plimsoll/register app.js`, or `--require`: tracks every HTTP server of the process.
 */

require('./lib/register').register(() => require('./lib/join.js').join())
