'use strict'

/*
 * The requests of a HAR file. It comes from a browser or a proxy, or was edited by hand, so each part may be invalid. A
 * part that does not follow the format causes a SoakError that names the file and the entry.
 */

const { readFile } = require('node:fs/promises')
const { METHODS, validateHeaderName, validateHeaderValue } = require('node:http')
const { message, shown } = require('../core/describe.js')
const { SoakError } = require('./error.js')

/** A browser sends hundreds of requests to other hosts. */
const MOST_ROUTES = 100
/** Headers of the browser's connection or cache, which are not relevant for the app. */
const NOT_SENT =
  /^(:.*|host|connection|content-length|transfer-encoding|accept-encoding|if-none-match|if-modified-since|keep-alive|upgrade)$/i

/** Each method and path without its query is a route. Its requests are sent one after the other, repeatedly. */
async function routesOfHar(file) {
  const groups = new Map()
  for (const [number, entry] of entriesOf(file, await parsed(file)).entries()) {
    const request = requestOf(`${file}: log.entries[${number}]`, entry)
    if (request === null) continue
    const requests = groups.get(request.route)
    if (requests === undefined) groups.set(request.route, [request])
    else requests.push(request)
  }
  if (groups.size === 0) throw new SoakError(`${file} has no request over HTTP`)
  if (groups.size > MOST_ROUTES)
    throw new SoakError(
      `${file} has ${groups.size} routes; at most ${MOST_ROUTES} are driven. Remove the requests that are not for the app`
    )
  return [...groups].map(([route, requests]) => {
    const of = number => requests[number % requests.length]
    return {
      route,
      path: number => of(number).path,
      headers: number => of(number).headers,
      body: number => of(number).body
    }
  })
}

async function parsed(file) {
  try {
    const text = await readFile(file, 'utf8')
    // Some proxies begin the file with a byte order mark, which is not valid JSON.
    return JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch (error) {
    throw new SoakError(`${file} is not a HAR file: ${message(error)}`)
  }
}

function entriesOf(file, content) {
  const entries = isPlain(content) && isPlain(content.log) ? content.log.entries : undefined
  if (Array.isArray(entries)) return entries
  throw new SoakError(`${file} is not a HAR file: it must have { "log": { "entries": [ … ] } }; got ${shown(content)}`)
}

/**
 * `{ route, path, headers, body }`. Null for a request that is not over HTTP, such as that of a WebSocket or a `data:`
 * URL.
 */
function requestOf(where, entry) {
  const request = takes(where, entry, isPlain, 'an object with a request').request
  takes(
    `${where}.request`,
    request,
    isPlain,
    "an object with a method and a URL, as { method: 'GET', url: 'http://…' }"
  )
  takes(`${where}.request.url`, request.url, isUrl, "a URL, as 'http://host/path'")
  const url = new URL(request.url)
  if (!/^https?:$/.test(url.protocol)) return null
  takes(`${where}.request.method`, request.method, method => METHODS.includes(method), "a method, as 'GET'")
  return {
    route: `${request.method} ${url.pathname}`,
    path: url.pathname + url.search,
    headers: headersOf(`${where}.request.headers`, request.headers ?? []),
    body: bodyOf(`${where}.request.postData`, request.postData ?? {})
  }
}

function headersOf(where, given) {
  takes(where, given, Array.isArray, 'an array of headers')
  const headers = given.map((header, number) => {
    const at = `${where}[${number}]`
    takes(at, header, isPlain, 'an object with a name and a value')
    takes(`${at}.name`, header.name, name => typeof name === 'string', 'a string')
    return [header.name, header.value, at]
  })
  const sent = headers.filter(([name]) => !NOT_SENT.test(name))
  for (const [name, value, at] of sent) {
    takes(`${at}.name`, name, isHeaderName, 'the name of a header')
    takes(`${at}.value`, value, isHeaderValue(name), 'the value of a header')
  }
  return Object.fromEntries(sent.map(([name, value]) => [name, String(value)]))
}

function bodyOf(where, given) {
  const { text, encoding } = takes(where, given, isPlain, 'an object with a text')
  if (text === undefined || text === null) return undefined
  takes(`${where}.text`, text, text => typeof text === 'string', 'a string')
  return encoding === 'base64' ? Buffer.from(text, 'base64') : text
}

function takes(where, value, test, what) {
  if (test(value)) return value
  throw new SoakError(`${where} takes ${what}; got ${shown(value)}`)
}

function isPlain(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isUrl(value) {
  return typeof value === 'string' && URL.canParse(value)
}

function isHeaderName(name) {
  return succeeds(() => validateHeaderName(name))
}

/** Some tools write numbers. */
function isHeaderValue(name) {
  return value =>
    ['string', 'number'].includes(typeof value) && succeeds(() => validateHeaderValue(name, String(value)))
}

function succeeds(check) {
  try {
    check()
    return true
  } catch {
    return false
  }
}

module.exports = { routesOfHar }
