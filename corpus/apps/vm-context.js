'use strict'

const vm = require('node:vm')

exports.mechanism = 'a `vm` context a request'
exports.about = `
  It compiles a formula of the user in its own context, and stores the function to run it again. The function holds its context, which has
  all built-in objects and is a hundred times as large as the formula. The healthy twin has one context for all formulas, and stores none.`
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
