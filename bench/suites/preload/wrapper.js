'use strict'

// The wrapper alone: what fails here fails because of the wrapper, not because of Plimsoll.
require('./front.js')((_req, _res, next) => next())
