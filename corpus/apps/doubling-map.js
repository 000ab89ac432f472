'use strict'

exports.mechanism = 'a `Map` that doubles and then rests'
exports.about = `
  It stores the 1,600 tenants that were seen, all of them early in the run. The \`Map\` doubles its table
  whenever it is full. So memory grows in steps, each larger than the one before, and then stops growing.`
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
