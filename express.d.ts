// `import 'plimsoll/express'` declares what Plimsoll's middleware adds to a request of Express 4 and 5. It is separate from the
// main types, because another package may declare a `req.scope` of its own, and an app with both declarations would not compile.

declare global {
  namespace Express {
    interface Request {
      /**
       * Scope of this request: what is tied to it ends with the request. `undefined` if the request has not passed
       * `plimsoll.scope()`.
       */
      scope: import('./index').Scope
    }
  }
}

export {}
