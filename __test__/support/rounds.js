'use strict'

/*
 * Property tests take PLIMSOLL_SEED, their first seed, and PLIMSOLL_ROUNDS, the number of cases. `npm run fuzz:js` sets
 * both.
 */

const { random } = require('./uploads.js')

const seed = whole('PLIMSOLL_SEED', 1)

function rounds(usual) {
  return whole('PLIMSOLL_ROUNDS', usual)
}

function whole(name, usual) {
  const value = Number(process.env[name] ?? usual)
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`${name} takes a whole number from 1, not ${value}`)
  return value
}

/** Random choices of one test, the same for the same seed. */
function choices() {
  const next = random(seed)
  const below = count => Math.floor(next() * count)
  return { next, below, chance: part => next() < part, pick: list => list[below(list.length)] }
}

module.exports = { seed, rounds, choices }
