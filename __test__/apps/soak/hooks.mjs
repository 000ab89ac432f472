/* What `--import tsx` does, in small: from here on Node can load files that it does not know. */

import { register } from 'node:module'

if (import.meta.url.endsWith('hooks.mjs')) register(`${import.meta.url}?hooks`)

export async function load(url, context, next) {
  if (!url.endsWith('.shop')) return next(url, context)
  return { format: 'module', shortCircuit: true, source: "export default (_req, res) => res.end('open')" }
}
