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

/** Routes that a note names. */
const NAMED = 20

/** `{ routes, notes }`. The notes name the routes that are not driven. */
async function routesFor({ routes, har, from }, server, load) {
  if (routes !== null) return { routes, notes: [] }
  if (har !== null) return { routes: routesOf(await routesOfHar(har), har), notes: [] }
  if (from === null) return ownRoutes(server, load)
  const { routes: recorded, left } = await fromRecord(from)
  return {
    routes: routesOf(recorded, `the record ${from}`),
    notes: notDriven(left, 'they are not GET routes that succeeded, or are too rare')
  }
}

async function ownRoutes(server, load) {
  const found = await server.ask('routes')
  if (found === null)
    throw new SoakError(`the routes of the app are not known, because it is not an Express app: ${NAME_THEM}`)
  const notes = [
    ...notDriven(found.left, 'their patterns cannot be filled'),
    ...notDriven(found.others, 'only GET routes are driven unless routes are named (--route, --routes, --har)')
  ]
  const routes = []
  let refused = null
  for (const route of found.routes.length === 0 ? [] : routesOf(found.routes)) {
    try {
      await server.during(load.one(route, 0, load.agents[0]))
      routes.push(route)
    } catch (error) {
      if (server.ended || !(error instanceof SoakError)) throw error
      refused ??= error
      notes.push(`not driven: ${error.message.split('\n')[0].replace(/^plimsoll: soak: /, '')}`)
    }
  }
  if (routes.length > 0) return { routes, notes }
  if (refused !== null) throw refused
  const left = notes.length === 0 ? '' : ` (${notes.join('; ')})`
  throw new SoakError(`the app has no GET route that can be driven without options${left}: ${NAME_THEM}`)
}

function notDriven(routes, why) {
  if (routes.length === 0) return []
  const more = routes.length > NAMED ? ` and ${routes.length - NAMED} more` : ''
  return [`not driven, because ${why}: ${routes.slice(0, NAMED).join(', ')}${more}`]
}

module.exports = { routesFor }
