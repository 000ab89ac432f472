'use strict'

// Types only: express.d.ts declares `req.scope`, and TypeScript keeps a plain import of it in its output.
