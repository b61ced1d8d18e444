import assert from 'node:assert/strict'
import test from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fromDisk, Turnstile } from './turnstile.mjs'

test('no test meets the same edge twice, tests share their turns, and nothing is under way at one', async () => {
  let edge = 0
  let under = 0
  const gate = new Turnstile({ replace: async () => { assert.equal(under, 0); await pause(10); edge++ } })
  const ask = async id => {
    under++
    await pause(5)
    under--
    return `${id} of ${edge}`
  }
  const met = await Promise.all(['a', 'b'].map(async id => {
    const edges = []
    for (let step = 0; step < 3; step++) edges.push(await gate.pass(id, () => ask(id)))
    return edges
  }))
  assert.deepEqual(met, [['a of 0', 'a of 1', 'a of 2'], ['b of 0', 'b of 1', 'b of 2']])
  assert.equal(gate.turns, 2)
})

test('what belongs to no test waits for nothing but a turn', async () => {
  const gate = new Turnstile({ replace: async () => assert.fail('nobody wants another edge') })
  for (let step = 0; step < 3; step++) assert.equal(await gate.pass(null, async () => step), step)
})

test('an edge that does not come up is told to who waits for it', async () => {
  const gate = new Turnstile({ replace: async () => { throw new Error('gone') } })
  await gate.pass('a', async () => {})
  await assert.rejects(gate.pass('a', async () => {}), /gone/)
})

test('what is otherwise replaces what is expected, or takes it away', () => {
  const entry = (id, reason) => ({ id, reason, section: 'RFC' })
  const usual = { kinds: [], notPassed: [entry('a', 'old'), entry('b', 'old'), entry('c', 'old')], answers: [] }
  const otherwise = { notPassed: [entry('a', 'new'), entry('d', 'new')], answers: [], passed: [{ id: 'b' }] }
  const merged = fromDisk(usual, otherwise)
  assert.deepEqual(merged.notPassed.map(({ id, reason }) => `${id} ${reason}`), ['c old', 'a new', 'd new'])
})
