/* global afterEach, expect, jest, test */
'use strict'

// One of several test files that Jest runs in one process. Its name is in its path.

const fs = require('node:fs')
const path = require('node:path')

const file = path.basename(__filename).split('.')[0]

afterEach(() => jest.restoreAllMocks())

for (const turn of ['first', 'second']) {
  test(`${turn} request of ${file}`, async () => {
    if (process.env.RESET === '1') jest.resetModules()
    const express = require(process.env.EXPRESS)
    const plimsoll = require('plimsoll')
    // A module that is loaded late must load long after the end of the first test file.
    await expect(plimsoll.soak(() => {})).rejects.toThrow('soak')
    const seen = await require(process.env.SEEN).drive(express, plimsoll, `${file}-${turn}`)
    expect(seen.answers).toEqual([
      [200, '{"scope":"function","id":"1"}'],
      [200, '10'],
      [413, 'request entity too large'],
      [200, '10']
    ])
    expect(seen.ended).toEqual(['the scope'])
    fs.appendFileSync(process.env.RESULTS, `${JSON.stringify(seen)}\n`)
  })
}

test(`a wrong option in ${file} is a TypeError of its own global`, async () => {
  const plimsoll = require('plimsoll')
  expect(() => plimsoll({ name: 5 })).toThrow(TypeError)
  expect(() => plimsoll.limit('1 parsec')).toThrow(TypeError)
  expect(() => plimsoll.limit('1 parsec')).toThrow(/limit\(\)'s limit takes .*; got '1 parsec'/)
  await expect(plimsoll.metrics.text({ histograms: 3 })).rejects.toThrow(TypeError)
  await expect(plimsoll.heap.open(5)).rejects.toThrow(TypeError)
})

test(`a refusal in ${file} is known by its status and type`, () => {
  const plimsoll = require('plimsoll')
  const { IncomingMessage, ServerResponse } = require('node:http')
  const req = Object.assign(new IncomingMessage(new (require('node:net').Socket)()), { method: 'POST', url: '/' })
  req.headers['content-length'] = '5'
  const errors = []
  plimsoll.limit('1b')(req, new ServerResponse(req), error => errors.push(error))
  expect(errors).toHaveLength(1)
  expect(errors[0]).toMatchObject({ status: 413, statusCode: 413, type: 'entity.too.large', expose: true })
})

test(`a spy of ${file} stays in its file`, () => {
  const plimsoll = require('plimsoll')
  expect(jest.isMockFunction(plimsoll.stats)).toBe(false)
  plimsoll.stats = jest.fn()
})
