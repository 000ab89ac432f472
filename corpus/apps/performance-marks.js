'use strict'

exports.mechanism = '`performance.mark` never cleared'
exports.about = `
  User marks and measures stay in the global timeline until they are cleared. Its buffer
  has no bound. Old versions of Node had no timeline, and no leak.`
exports.reference = 'https://github.com/elastic/kibana/issues/116636'
exports.route = 'GET /report/:id'
exports.expected = { leak: true, class: 'PerformanceMark', holder: 'markEntryBuffer' }

const report = () => Array.from({ length: 100 }, (_, i) => i ** 2)

exports.leaky = app => {
  // handler
  app.get('/report/:id', (req, res) => {
    const { id } = req.params
    performance.mark(`report ${id}`, { detail: { report: id, by: 'anybody' } }) // leak
    const rows = report()
    const { duration } = performance.measure(`report took ${id}`, `report ${id}`)
    res.json({ rows, duration })
  })
}

exports.healthy = app => {
  app.get('/report/:id', (req, res) => {
    const { id } = req.params
    performance.mark(`report ${id}`, { detail: { report: id, by: 'anybody' } })
    const rows = report()
    const { duration } = performance.measure(`report took ${id}`, `report ${id}`)
    performance.clearMarks(`report ${id}`)
    performance.clearMeasures(`report took ${id}`)
    res.json({ rows, duration })
  })
}
