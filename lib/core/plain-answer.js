'use strict'

/*
 * The plain response to a request that is refused, if the app does not send one.
 */

/** Headers of the response that the app had begun to prepare. */
const STALE = [
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'last-modified',
  'trailer',
  'transfer-encoding'
]

/** Responds with the status, the headers and the message of an error. The head must not have been sent. */
function answer(req, res, error) {
  for (const name of STALE) res.removeHeader(name)
  const body = `${error.message}\n`
  res.statusCode = error.status
  if (req.httpVersionMajor === 1) res.statusMessage = ''
  res.setHeader('content-type', 'text/plain; charset=utf-8')
  res.setHeader('x-content-type-options', 'nosniff')
  res.setHeader('content-length', Buffer.byteLength(body))
  for (const [name, value] of Object.entries(error.headers ?? {})) res.setHeader(name, value)
  res.end(body)
}

module.exports = { answer }
