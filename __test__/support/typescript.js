'use strict'

// TypeScript programs that are checked but not run; the code of a document as such programs.

const { readFileSync } = require('node:fs')
const path = require('node:path')
const ts = require('typescript')

const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  target: 'es2022',
  types: ['node']
}
/** Ways to resolve a package. `requires`: a default import is written `import a = require('a')`. */
const RESOLVERS = {
  commonjs: { options: { module: 'commonjs' }, extension: 'ts', requires: true },
  'commonjs-interop': { options: { module: 'commonjs', esModuleInterop: true }, extension: 'ts' },
  'nodenext, CommonJS': { options: { module: 'nodenext' }, extension: 'cts', requires: true },
  'nodenext, ESM': { options: { module: 'nodenext' }, extension: 'mts' },
  bundler: { options: { module: 'esnext', moduleResolution: 'bundler' }, extension: 'ts' }
}
/** TypeScript has a code for each family of names: of Node, of the DOM, of test runners, of similar names. */
const UNDECLARED = /^(Cannot find name|No value exists in scope for the shorthand property)/

/** The first lines of a program. */
function imports({ requires }) {
  return ['express', 'plimsoll']
    .map(name => (requires ? `import ${name} = require('${name}')\n` : `import ${name} from '${name}'\n`))
    .join('')
}

/** Programs of a folder share their declaration files. Most of the time goes into parsing these. */
const parsed = new Map()

/**
 * Returns TypeScript's errors in `files` (name to text) in `folder`, one line each. With `undeclared`, an undeclared
 * name is no error and has the type `any`.
 */
function check(folder, files, { options = {}, undeclared = false } = {}) {
  const { options: compiler, errors } = ts.convertCompilerOptionsFromJson({ ...STRICT, ...options }, folder)
  if (errors.length > 0) throw new Error(report(errors, folder).join('\n'))
  const texts = new Map(Object.entries(files).map(([name, text]) => [path.join(folder, name), text]))
  const host = hostOf(folder, compiler, texts)
  const program = ts.createProgram([...texts.keys()], compiler, host)
  const found = ts.getPreEmitDiagnostics(program)
  const told = undeclared ? found.filter(({ messageText }) => !UNDECLARED.test(plain(messageText))) : found
  return report(told, folder)
}

/** Compiles a folder as `tsc -p` does, and writes the JavaScript. Throws what TypeScript reports. */
function compile(folder) {
  const { config, error } = ts.readConfigFile(path.join(folder, 'tsconfig.json'), ts.sys.readFile)
  if (error) throw new Error(report([error], folder).join('\n'))
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, folder)
  const program = ts.createProgram(fileNames, options, hostOf(folder, options))
  const { diagnostics } = program.emit()
  const found = report([...errors, ...ts.getPreEmitDiagnostics(program), ...diagnostics], folder)
  if (found.length > 0) throw new Error(found.join('\n'))
}

function hostOf(folder, compiler, texts = new Map()) {
  const host = ts.createCompilerHost(compiler)
  const { fileExists, readFile, getSourceFile } = host
  host.getCurrentDirectory = () => folder
  host.fileExists = file => texts.has(file) || fileExists(file)
  host.readFile = file => texts.get(file) ?? readFile(file)
  host.getSourceFile = (file, language, ...rest) => {
    const text = texts.get(file)
    if (text !== undefined) return ts.createSourceFile(file, text, language)
    // The format of a module is stored on its parsed file, and depends on the resolver.
    const key = `${compiler.module} ${compiler.moduleResolution} ${file}`
    if (!parsed.has(key)) parsed.set(key, getSourceFile(file, language, ...rest))
    return parsed.get(key)
  }
  return host
}

const plain = messageText => ts.flattenDiagnosticMessageText(messageText, ' ')

function report(diagnostics, folder) {
  return diagnostics.map(({ file, start, code, messageText }) => {
    const place = file
      ? `${path.relative(folder, file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}`
      : '-'
    return `${place} TS${code} ${plain(messageText)}`
  })
}

/** The JavaScript of a Markdown document: an ES module in TypeScript for each block of code, named after the block's line. */
function programsOf(document) {
  const text = readFileSync(document, 'utf8')
  const programs = {}
  for (const { 1: code, index } of text.matchAll(/^```(?:js|ts)\n(.*?)^```/gms)) {
    // A `require` is untyped in TypeScript: everything would compile.
    const typed = code.replace(/^const (\w+) = require\('([^']+)'\)$/gm, "import $1 from '$2'")
    const declares = name => new RegExp(`^(import|const) ${name} `, 'm').test(typed)
    const head = ['express', 'plimsoll'].filter(name => !declares(name)).map(name => `import ${name} from '${name}'\n`)
    head.push("import 'plimsoll/express'\n")
    if (!declares('app')) head.push('const app = express()\n')
    programs[`line-${text.slice(0, index).split('\n').length}.mts`] = head.join('') + typed
  }
  return programs
}

module.exports = { RESOLVERS, check, compile, imports, programsOf }
