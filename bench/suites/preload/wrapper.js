'use strict'

// Only the wrapper. A test that fails here fails because of the wrapper, not because of Plimsoll.
require('./front.js')((_req, _res, next) => next())
