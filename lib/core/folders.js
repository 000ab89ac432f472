'use strict'

/*
 * The folders of this package. In a bundle the package is one file in a folder of the app, and both are that folder.
 */

const path = require('node:path')

const HERE = path.join('lib', 'core')

/** The folder of plimsoll's own code: frames in it are not the app's. */
const LIB = __dirname.endsWith(HERE) ? path.dirname(__dirname) : __dirname
/** The folder of the package. */
const ROOT = path.dirname(LIB)

module.exports = { LIB, ROOT }
