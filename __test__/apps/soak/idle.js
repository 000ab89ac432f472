'use strict'

console.log('waiting for a database that does not come')
setInterval(() => {}, 1000)
