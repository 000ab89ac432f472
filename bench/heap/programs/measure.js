'use strict'

// Preloaded into each measured program. At its end it writes its CPU time and highest RSS to descriptor 3.

const fs = require('node:fs')

process.on('exit', () => {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
  fs.writeSync(3, JSON.stringify({ cpuSeconds: (userCPUTime + systemCPUTime) / 1e6, peakBytes: maxRSS * 1024 }))
})
