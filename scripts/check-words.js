'use strict'

/*
 * npm run lint:words
 *
 * Checks the text that people read, and prints the mean length of its sentences.
 *
 *   documents   README.md and those in FOLDERS: words, sentences, links, and the names of files and tests
 *   types       the comments of the public types: words
 *   comments    those in SOURCES: words
 *
 * WORDS lists wrong uses of words, not words: `kept` and `behind` have right uses too. Code is not checked. Fails for
 *
 *   - a wrong use of a word
 *   - documents with more than 20 words in a sentence on average, and a sentence of a document with more than 40
 *   - a link to a file or heading that does not exist
 *   - the name of a file or test that does not exist
 */

const fs = require('node:fs')
const path = require('node:path')

const ROOT = path.join(__dirname, '..')
const MEAN_WORDS = 20
const MOST_WORDS = 40
/** They may link to the corpus, which is not in the package. */
const RESULTS = ['docs/corpus.md', 'docs/soak.md']
const FOLDERS = ['docs', 'crates', 'bench', 'corpus']
const TYPES = ['index.d.ts', 'express.d.ts', 'register.d.ts']
const THREATS = 'docs/threat-model.md'
/** Folders and files whose comments are checked. */
const SOURCES = [
  'lib',
  'bin',
  'index.js',
  'register.js',
  'src',
  'crates',
  'bench',
  'corpus',
  'examples',
  'fuzz',
  'scripts'
]
/** A file or folder of this repository in a code span. A name with a line is a call site in an app instead. */
const FILE = /(?<![\w@./-])(?:__test__|bench|bin|corpus|crates|examples|fuzz|lib|scripts|src)\/[\w./-]*(?![\w./-]|:\d)/g

/** A wrong use, and what to write instead. */
const WORDS = [
  [
    /(?<!\b(leave|leaves|left) )\bbehind\b(?! (an?|the|your|one|this) ([\w-]+ )?(proxy|proxies|balancer|load balancer))/gi,
    'after, or through'
  ],
  [/\bso (many|much)\b/gi, 'N, or at most N'],
  [/\b(whoever|nobody|somebody)\b/gi, 'the caller, the request, a consumer, no caller'],
  [/\b(code|request|caller|consumer|reader|process|thread)s?,? who\b/gi, 'that'],
  [
    /\bto whom\b|\bwho (asks?|asked|holds?|held|reads|calls|waits|allocates|inflates|fits|does not fit)\b/gi,
    'the caller, the request'
  ],
  [/\b(tells?|told|telling)\b/gi, 'report, say in which case'],
  [/\b(is|are|was|were|be|been|being) looked (for|at|into)\b/gi, 'search, sample, check'],
  [/\b(loop|server|process|program) (stands|stood)\b|\bstands still\b|\bstood\b/gi, 'is blocked, is paused'],
  [
    /\b(comes?|came) round\b|\b(next|one|a) turn (of|later|after)\b|\bnext turn\b|\bloop('s)? (last )?turns?\b/gi,
    'tick'
  ],
  [/\bmarking beside\b/gi, 'concurrent marking'],
  [/\bwhat (really )?lives\b|\b(requests?|objects?|that) live on\b/gi, 'the live heap; stay alive'],
  [
    /\b(kept|keeps?|held|holds?) (a|per|each|by a) request\b|\bkeeps? [\d,.]+ (B|bytes|KB|KiB|MiB)\b|\bwhat (holds|keeps|held) it\b/gi,
    'retained, retains'
  ],
  [/\bin the place of\b/gi, 'instead of'],
  [/\bworth a word\b/gi, 'worth reporting'],
  [/(?<!\b(page|segmentation|at) )\bfaults?\b/gi, 'internal error, error'],
  [/\bfor ever\b/gi, 'forever, fixed'],
  [/\bclock that nobody\b/gi, 'monotonic clock'],
  [/\blast in line\b/gi, 'at the lowest priority'],
  [/\bcampaigns?\b/gi, 'profiling session'],
  [/(?<!\b(call|allocation|web) )\bsites?\b/gi, 'call site, allocation site'],
  [/\bplaces? (in|of) (the|your) (code|app)\b/gi, 'call site'],
  [/\bshortest way\b|\bway (from|to) (a|an|the) (root|roots|global|object)\b/gi, 'path'],
  [/\b(request's|requests'|its|their) li(fe|ves)\b|\blife of a request\b/gi, 'request state, lifecycle'],
  [/\bmanners\b/gi, 'operational behaviour'],
  [/\belsewhere\b/gi, 'on other platforms, unsupported'],
  [/\bknown to be short\b/gi, 'known limitations']
]

function main() {
  const documents = ['README.md', ...FOLDERS.flatMap(markdown)]
  const problems = []
  const total = { words: 0, sentences: 0 }
  for (const file of [...documents, ...TYPES]) {
    const source = withoutTables(fs.readFileSync(path.join(ROOT, file), 'utf8'))
    const isDocument = file.endsWith('.md')
    if (isDocument) problems.push(...brokenLinks(file, source), ...missingFiles(file, source))
    if (file === THREATS) problems.push(...missingTests(file, source))
    const lines = isDocument ? proseOf(source) : commentsOf(source)
    problems.push(...wrongWords(file, lines))
    const counted = sentencesOf(lines.filter(({ cell }) => !cell))
    const words = counted.reduce((sum, { count }) => sum + count, 0)
    const mean = counted.length === 0 ? 0 : words / counted.length
    console.log(
      `${mean.toFixed(1).padStart(5)} words a sentence, ${String(counted.length).padStart(4)} sentences  ${file}`
    )
    if (!isDocument) continue
    total.words += words
    total.sentences += counted.length
    for (const { line, count, text } of sentencesOf(lines)) {
      if (count > MOST_WORDS) problems.push(`${file}:${line}: a sentence of ${count} words: ${text.slice(0, 80)}…`)
    }
  }
  for (const root of SOURCES) problems.push(...wrongComments(root))
  const mean = total.words / total.sentences
  console.log(`${mean.toFixed(1).padStart(5)} words a sentence in all documents; at most ${MEAN_WORDS}`)
  if (mean > MEAN_WORDS) problems.push(`sentences have ${mean.toFixed(1)} words on average, more than ${MEAN_WORDS}`)
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}

/** The wrong words. Prints the mean length of a sentence, which has no limit in comments. */
function wrongComments(root) {
  const problems = []
  const counted = []
  for (const file of sources(root)) {
    const blocks = commentsOfCode(fs.readFileSync(path.join(ROOT, file), 'utf8'), file.endsWith('.sh'))
    problems.push(...wrongWords(file, blocks))
    counted.push(...sentencesOf(blocks))
  }
  const mean = counted.reduce((sum, { count }) => sum + count, 0) / Math.max(1, counted.length)
  console.log(
    `${mean.toFixed(1).padStart(5)} words a sentence, ${String(counted.length).padStart(4)} sentences  comments of ${root}`
  )
  return problems
}

function sources(root) {
  const full = path.join(ROOT, root)
  if (!fs.existsSync(full)) return []
  if (!fs.statSync(full).isDirectory()) return [root]
  return fs
    .readdirSync(full, { recursive: true })
    .filter(name => /\.(js|mjs|rs|sh|ts)$/.test(name) && !isInstalled(name))
    .map(name => path.join(root, name).replaceAll(path.sep, '/'))
    .sort()
}

function markdown(folder) {
  const entries = fs.readdirSync(path.join(ROOT, folder), { withFileTypes: true, recursive: true })
  return entries
    .filter(entry => entry.isFile() && entry.name.endsWith('.md'))
    .map(entry => path.relative(ROOT, path.join(entry.parentPath ?? entry.path, entry.name)).replaceAll(path.sep, '/'))
    .filter(name => !isInstalled(name))
    .sort()
}

/** Whether a file belongs to a dependency or a build. */
function isInstalled(name) {
  return /(^|[\\/])(node_modules|target)[\\/]/.test(name)
}

/** Blocks of text, `{ line, text, cell }`, without code: paragraphs, list items, headings, cells of tables. */
function proseOf(source) {
  const blocks = []
  let open = null
  let fenced = false
  source.split('\n').forEach((raw, index) => {
    const line = index + 1
    if (/^\s*(```|~~~)/.test(raw)) {
      fenced = !fenced
      open = null
      return
    }
    if (fenced || raw.trim() === '' || /^\s*<!--.*-->\s*$/.test(raw)) {
      open = null
      return
    }
    if (/^\s*\|/.test(raw)) {
      open = null
      if (/^[\s|:-]+$/.test(raw)) return
      for (const text of raw.split(/(?<!\\)\|/)) blocks.push({ line, text: plain(text), cell: true })
      return
    }
    const starts = /^\s*([-*+]|\d+\.|#+|>)\s/.exec(raw)
    const text = plain(starts ? raw.slice(starts[0].length) : raw)
    if (starts || open === null) {
      open = { line, text, heading: raw.startsWith('#') }
      blocks.push(open)
      if (open.heading) open = null
    } else {
      open.text += `\n${text}`
    }
  })
  return blocks
}

/** Without the tables that programs of bench/ and corpus/ write. Lines keep their numbers. */
function withoutTables(source) {
  return source.replace(/^<!-- (bench|figures|tables|evidence|memlab) -->$.*?^<!-- \/\1 -->$/gms, block =>
    block.replaceAll(/[^\n]/g, '')
  )
}

/** A code span counts as one word. */
function plain(text) {
  return text
    .replaceAll(/(`+)(?:.*?)\1/g, 'code')
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[*_]{1,2}(\S.*?\S|\S)[*_]{1,2}/g, '$1')
}

function commentsOf(source) {
  const blocks = []
  for (const { 0: comment, index } of source.matchAll(/\/\*\*.*?\*\/|^[ \t]*\/\/(?!\/)[^\n]*$/gms)) {
    const line = source.slice(0, index).split('\n').length
    const text = comment
      .replaceAll(/^\s*(\/\*\*|\/\/|\*\/|\*)|\*\/$/gm, '')
      .replaceAll(/@example(.|\n)*?(?=\n\s*@|$)/g, '')
      .replaceAll(/\{@link ([^}]*)\}/g, 'code')
      .replaceAll(/@throws \{\w+\}/g, '')
    blocks.push({ line, text: text.split('\n').map(plain).join('\n') })
  }
  return blocks
}

/**
 * Comments of JavaScript, Rust and shell scripts: block comments, consecutive lines as one, and comments after code. A
 * code span may continue on the next line.
 */
function commentsOfCode(source, isShell) {
  const pattern = isShell
    ? /(?:^[ \t]*#[^\n]*(?:\n|$))+/gm
    : /^[ \t]*\/\*.*?\*\/|(?:^[ \t]*\/\/[^\n]*(?:\n|$))+|(?<=\S[ \t]+)\/\/ [^\n]*/gms
  return [...source.matchAll(pattern)].map(({ 0: comment, index }) => ({
    line: source.slice(0, index).split('\n').length,
    text: comment
      .replaceAll(/^[ \t]*(\/\*+|\/\/[/!]?|\*\/|\*|#) ?|\*\/$/gm, '')
      .replaceAll(/(`+)(?:.|\n)*?\1/g, span => `code${'\n'.repeat(span.split('\n').length - 1)}`)
  }))
}

function wrongWords(file, blocks) {
  const found = []
  for (const { line, text } of blocks) {
    // A phrase may continue on the next line.
    const joined = text.replaceAll('\n', ' ')
    for (const [pattern, better] of WORDS) {
      for (const { 0: wrong, index } of joined.matchAll(pattern)) {
        const at = line + text.slice(0, index).split('\n').length - 1
        found.push(`${file}:${at}: "${wrong}": write ${better}`)
      }
    }
  }
  return found
}

/** Sentences with their number of words. Headings and texts of one or two words are left out. */
function sentencesOf(blocks) {
  return blocks
    .filter(({ heading }) => !heading)
    .flatMap(({ line, text }) =>
      text
        .replaceAll('\n', ' ')
        .split(/(?<=[.!?]["')]?)\s+(?=\S)/)
        .map(sentence => ({
          line,
          text: sentence.trim(),
          count: (sentence.match(/\S*[\p{L}\p{N}]\S*/gu) ?? []).length
        }))
    )
    .filter(({ count }) => count > 2)
}

/** The anchors that GitHub gives to headings. */
function anchorsOf(source) {
  const seen = new Map()
  const anchors = new Set()
  for (const { 1: heading } of source.replaceAll(/^```.*?^```/gms, '').matchAll(/^#+\s+(.*)$/gm)) {
    const words = heading
      .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase()
    const name = words.replaceAll(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-')
    const times = seen.get(name) ?? 0
    seen.set(name, times + 1)
    anchors.add(times === 0 ? name : `${name}-${times}`)
  }
  return anchors
}

/** Links to a file or heading that does not exist. A document that is packed must link only to packed files. */
function brokenLinks(file, source) {
  const { files } = require('../package.json')
  const broken = []
  source
    .replaceAll(/^```.*?^```/gms, block => block.replaceAll(/[^\n]/g, ''))
    .split('\n')
    .forEach((text, index) => {
      for (const { 1: target } of text.replaceAll(/(`+)(?:.*?)\1/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
        const where = `${file}:${index + 1}`
        if (/^https?:/.test(target)) continue
        const [name, anchor] = target.split('#')
        const linked = name === '' ? file : path.posix.join(path.posix.dirname(file), name)
        const full = path.join(ROOT, linked)
        if (path.isAbsolute(name) || linked.startsWith('..') || !fs.existsSync(full)) {
          broken.push(`${where}: ${target} does not exist`)
        } else if (anchor && !anchorsOf(fs.readFileSync(full, 'utf8')).has(anchor)) {
          broken.push(`${where}: ${target}: no such heading`)
        } else if (!RESULTS.includes(file) && isPacked(file, files) && !isPacked(linked, files)) {
          broken.push(`${where}: ${target} is not in the package`)
        }
      }
    })
  return broken
}

function codeSpansOf(text) {
  return [...text.matchAll(/(`+)(.*?)\1/g)].map(({ 2: code, index }) => ({ code, index }))
}

/** Files in code spans that do not exist. Fenced code is left out, since it is code of an app. */
function missingFiles(file, source) {
  const missing = []
  source
    .replaceAll(/^```.*?^```/gms, block => block.replaceAll(/[^\n]/g, ''))
    .split('\n')
    .forEach((text, index) => {
      for (const { code } of codeSpansOf(text)) {
        for (const [name] of code.matchAll(FILE))
          if (!exists(name)) missing.push(`${file}:${index + 1}: ${name} does not exist`)
      }
    })
  return missing
}

/** Names in the column "tested in" that do not exist: of tests, fuzz targets, scripts and Rust files. */
function missingTests(file, source) {
  const tests = new Set(
    fs
      .readdirSync(path.join(ROOT, '__test__'), { recursive: true })
      .filter(name => name.endsWith('.test.js'))
      .map(name => path.basename(name, '.test.js'))
  )
  const { scripts } = require('../package.json')
  const missing = []
  let column = -1
  source.split('\n').forEach((text, index) => {
    const cells = text.split(/(?<!\\)\|/).map(cell => cell.trim())
    if (cells.length === 1) column = -1
    else if (column === -1) column = cells.indexOf('tested in')
    const cell = cells[column] ?? ''
    /** The folder of the file names that follow it in the cell. */
    let folder = ''
    for (const { code, index: at } of codeSpansOf(cell)) {
      let found
      if (code.startsWith('npm run ')) found = Object.hasOwn(scripts, code.slice('npm run '.length))
      else if (cell.slice(0, at).endsWith('fuzz ')) found = exists(`fuzz/fuzz_targets/${code}.rs`)
      else if (code.includes('/')) found = exists(code) || exists(`__test__/${code}`)
      else found = code.endsWith('.rs') ? exists(folder + code) : tests.has(code)
      if (!found) missing.push(`${file}:${index + 1}: ${code} does not exist`)
      if (code.endsWith('/')) folder = code
    }
  })
  return missing
}

function exists(name) {
  return fs.existsSync(path.join(ROOT, name))
}

function isPacked(file, files) {
  return (
    /^(README\.md|LICENSE|package\.json)$/.test(file) ||
    files.some(each => file === each || file.startsWith(`${each}/`))
  )
}

if (require.main === module) main()

module.exports = { WORDS, proseOf, sentencesOf }
