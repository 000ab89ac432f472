'use strict'

/*
 * Which routes are driven: those that were given, those of a HAR file or of a running server's record, or the app's own.
 */

const { readFile } = require('node:fs/promises')
const { SoakError } = require('./error.js')
const { routesOf } = require('./options.js')
const { fromRecord } = require('./record.js')

const NAME_THEM =
  "name them: --route 'GET /users/:id', or routes: ['GET /users/:id']; from a file with --routes or --har, or those of a running server with --from"
/** Of a HAR file; a browser sends hundreds to other hosts. */
const MOST_ROUTES = 100

/** `{ routes, notes }`. */
async function routesFor({ routes, har, from }, server) {
  if (routes !== null) return { routes, notes: [] }
  if (har !== null) return { routes: await fromHar(har), notes: [] }
  if (from !== null) return { routes: routesOf(await fromRecord(from), `the record ${from}`), notes: [] }
  return ownRoutes(server)
}

async function ownRoutes(server) {
  const found = await server.ask('routes')
  if (found === null) throw new SoakError(`no routes of the app can be seen, as it is no Express app: ${NAME_THEM}`)
  if (found.routes.length === 0) {
    const left = found.left.length === 0 ? '' : ` (${found.left.join(', ')} cannot be filled)`
    throw new SoakError(`the app has no GET route that can be driven as it is${left}: ${NAME_THEM}`)
  }
  const notes = found.left.length === 0 ? [] : [`not driven, as they cannot be filled: ${found.left.join(', ')}`]
  return { routes: routesOf(found.routes), notes }
}

/** Each method and path without its query is a route; its requests are sent one after the other, and again. */
async function fromHar(file) {
  let entries
  try {
    entries = JSON.parse(await readFile(file, 'utf8')).log.entries
    if (!Array.isArray(entries)) throw new Error('log.entries is no array')
  } catch (error) {
    throw new SoakError(`${file} is no HAR file: ${error.message}`)
  }
  const groups = new Map()
  for (const { request } of entries) {
    const url = request && URL.canParse(request.url) ? new URL(request.url) : null
    if (url === null || !/^https?:$/.test(url.protocol)) continue
    const key = `${request.method} ${url.pathname}`
    if (!groups.has(key)) groups.set(key, [])
    groups.get(key).push({ path: url.pathname + url.search, headers: headersOf(request), body: bodyOf(request) })
  }
  if (groups.size === 0) throw new SoakError(`${file} has no request over HTTP`)
  if (groups.size > MOST_ROUTES)
    throw new SoakError(
      `${file} has ${groups.size} routes; at most ${MOST_ROUTES} are driven: leave out what is not the app's`
    )
  const each = [...groups].map(([route, requests]) => {
    const of = number => requests[number % requests.length]
    return {
      route,
      path: number => of(number).path,
      headers: number => of(number).headers,
      body: number => of(number).body
    }
  })
  return routesOf(each, file)
}

/** Those of the browser's connection, and what asks whether it has it already, are none of the app's business. */
const NOT_SENT =
  /^(:.*|host|connection|content-length|transfer-encoding|accept-encoding|if-none-match|if-modified-since|keep-alive|upgrade)$/i

function headersOf({ headers = [] }) {
  const sent = headers.filter(({ name }) => !NOT_SENT.test(name))
  return Object.fromEntries(sent.map(({ name, value }) => [name, String(value)]))
}

function bodyOf({ postData }) {
  if (typeof postData?.text !== 'string') return undefined
  return postData.encoding === 'base64' ? Buffer.from(postData.text, 'base64') : postData.text
}

module.exports = { routesFor }
