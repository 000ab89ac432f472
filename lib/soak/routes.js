'use strict'

/*
 * The routes to request: given ones, those of a HAR file or of a running server's record, or the app's own.
 */

const { SoakError } = require('./error.js')
const { routesOfHar } = require('./har-routes.js')
const { routesOf } = require('./options.js')
const { fromRecord } = require('./recorded-routes.js')

const NAME_THEM =
  "name them: --route 'GET /users/:id', or routes: ['GET /users/:id']; from a file with --routes or --har, or those of a running server with --from"

/** `{ routes, notes }`. */
async function routesFor({ routes, har, from }, server) {
  if (routes !== null) return { routes, notes: [] }
  if (har !== null) return { routes: routesOf(await routesOfHar(har), har), notes: [] }
  if (from !== null) return { routes: routesOf(await fromRecord(from), `the record ${from}`), notes: [] }
  return ownRoutes(server)
}

async function ownRoutes(server) {
  const found = await server.ask('routes')
  if (found === null)
    throw new SoakError(`the routes of the app are not known, because it is not an Express app: ${NAME_THEM}`)
  if (found.routes.length === 0) {
    const left = found.left.length === 0 ? '' : ` (${found.left.join(', ')} cannot be filled)`
    throw new SoakError(`the app has no GET route that can be driven without options${left}: ${NAME_THEM}`)
  }
  const notes =
    found.left.length === 0 ? [] : [`not driven, because their patterns cannot be filled: ${found.left.join(', ')}`]
  return { routes: routesOf(found.routes), notes }
}

module.exports = { routesFor }
