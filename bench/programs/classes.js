'use strict'

// Writes the number of objects of each class in a heap snapshot, as a JSON line { classes }.

const plimsoll = require('../..')

async function main() {
  const heap = await plimsoll.heap.open(process.argv[2])
  const { classes } = await heap.summary()
  process.stdout.write(
    `${JSON.stringify({ classes: Object.fromEntries(classes.map(({ name, count }) => [name, count])) })}\n`
  )
}

main().catch(error => process.stdout.write(`${JSON.stringify({ error: error.stack })}\n`))
