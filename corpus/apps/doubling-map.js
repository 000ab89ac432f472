'use strict'

exports.mechanism = 'a `Map` that doubles and then rests'
exports.about = `
  The tenants that have been seen: 1,600 of them, all within the first part of the run. The \`Map\` makes a table of twice the size whenever it is full, so that memory grows in
  steps, each larger than the one before, and then rests for good.`
exports.route = 'GET /tenants/:id'

const TENANTS = 1600

exports.healthy = app => {
  const seen = new Map()
  app.get('/tenants/:id', (req, res) => {
    const id = Number(req.params.id) % TENANTS
    if (!seen.has(id)) seen.set(id, { id, since: Date.now(), name: `tenant ${id}` })
    res.json(seen.get(id).name)
  })
}
