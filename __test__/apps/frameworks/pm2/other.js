'use strict'

/* Another service of the same package. */

require('./server.js')
