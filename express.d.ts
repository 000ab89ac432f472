// `import 'plimsoll/express'` declares what Plimsoll's middleware adds to a request of Express 4 and 5. It is not part of the main types: another
// package may declare a `req.scope` of its own, and an app with both would not compile.

declare global {
  namespace Express {
    interface Request {
      /** What ends with this request. `undefined` for a request that has not passed `plimsoll.scope()`. */
      scope: import('./index').Scope
    }
  }
}

export {}
