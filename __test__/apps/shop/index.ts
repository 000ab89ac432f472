/* The shop with Plimsoll by its defaults. */

import express from 'express'
import plimsoll from 'plimsoll'
import listen from '../support.js'
import shop from './app.ts'

const app = express()
app.use(plimsoll())
listen(shop(app))
