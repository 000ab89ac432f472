'use strict'

const vm = require('node:vm')

exports.mechanism = 'a `vm` context a request'
exports.about = `
  A formula of the user's is compiled in a context of its own, and kept to be run again: the function holds its context, and a context is a world with all built-in
  objects, a hundred times as large as the formula. The healthy twin has one context for all formulas, and keeps none.`
exports.reference = 'https://github.com/nodejs/node/issues/3113'
exports.route = 'POST /formulas/:id'
exports.expected = { leak: true, class: 'Formula', holder: 'formulas' }
exports.load = { requests: 800 }

class Formula {
  // allocation
  constructor(run) {
    this.run = run
  }
}

const formulas = new Map()
const script = new vm.Script('amount => amount * factor')

exports.leaky = app => {
  // handler
  app.post('/formulas/:id', (req, res) => {
    const context = vm.createContext({ factor: Number(req.params.id) })
    const formula = new Formula(script.runInContext(context))
    formulas.set(req.params.id, formula) // leak
    res.json({ sample: formula.run(100) })
  })
}

exports.healthy = app => {
  const context = vm.createContext({ factor: 1 })
  app.post('/formulas/:id', (req, res) => {
    context.factor = Number(req.params.id)
    const formula = new Formula(script.runInContext(context))
    res.json({ sample: formula.run(100) })
  })
}
