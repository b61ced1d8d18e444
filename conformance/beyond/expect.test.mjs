import assert from 'node:assert/strict'
import test from 'node:test'
import { cacheStatusOf, faultOf } from './expect.mjs'

const answer = (body, fields = {}) => ({ status: 200, body, fields, whole: true })
const asked = (conditional, fields = {}) => ({ method: 'GET', conditional, fields })

test('a cache finds its own word among those of others', () => {
  assert.deepEqual(cacheStatusOf('inner; hit; ttl=5, mangrove; fwd=stale; fwd-status=304; detail="a, b; c"', 'mangrove'),
    { fwd: 'stale', 'fwd-status': '304', detail: 'a, b; c' })
  assert.deepEqual(cacheStatusOf('"mangrove";hit', 'mangrove'), { hit: true })
  assert.equal(cacheStatusOf('mangrove-2; hit', 'mangrove'), null)
  assert.equal(cacheStatusOf(undefined, 'mangrove'), null)
})

test('what reached the origin is told apart', () => {
  assert.equal(faultOf({ asks: 'nothing' }, [answer('a')], []), null)
  assert.match(faultOf({ asks: 'nothing' }, [answer('a')], [asked(false)]), /asked GET/)
  assert.equal(faultOf({ asks: 'conditionally' }, [answer('a')], [asked(true)]), null)
  assert.match(faultOf({ asks: 'conditionally' }, [answer('a')], [asked(true), asked(false)]), /should have been/)
  assert.match(faultOf({ asks: 'plainly' }, [answer('a')], []), /asked nothing/)
  assert.equal(faultOf({ asks: 2 }, [answer('a')], [asked(false), asked(false)]), null)
  assert.match(faultOf({ saw: { 'if-none-match': '"a"' } }, [answer('a')], [asked(true, { 'if-none-match': '"b"' })]), /saw if-none-match/)
})

test('every answer is held to it, one of several choices is enough, and some means one answer', () => {
  assert.match(faultOf({ body: 'a' }, [answer('a'), answer('b')], []), /body is "b"/)
  assert.match(faultOf({ distinct: true }, [answer('a'), answer('a')], []), /same body/)
  assert.equal(faultOf({ anyOf: [{ body: 'x' }, { absent: ['x-a'] }] }, [answer('a')], []), null)
  assert.match(faultOf({ asks: 1, anyOf: [{ body: 'a' }] }, [answer('a')], []), /asked nothing/)
  assert.equal(faultOf({ some: { body: 'b' } }, [answer('a'), answer('b')], []), null)
  assert.match(faultOf({ absent: ['x-a'] }, [answer('a', { 'x-a': '1' })], []), /x-a is there/)
  assert.match(faultOf({}, [{ status: 0, fields: {}, body: '', error: 'reset' }], []), /no answer/)
})
