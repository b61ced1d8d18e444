import assert from 'node:assert/strict'
import test from 'node:test'
import { faultsOf, judge, withDependencies } from './verdict.mjs'

const ran = (id, kind, passed, ...dependsOn) =>
  ({ id, suite: 's', kind, dependsOn, applies: true, outcome: { passed, message: passed ? undefined : 'it did not' } })
const list = (...ids) => ({ notPassed: ids.map(id => ({ id, reason: 'because', section: 'RFC 9111 section 4' })), answers: [] })
const answers = (...pairs) => ({ notPassed: [], answers: pairs.map(([id, answer]) => ({ id, answer, reason: 'because', section: 'RFC 9111 section 4' })) })
const verdicts = (tests, expectations) => judge(tests, expectations).map(({ verdict }) => verdict)

test('an optional test passes, or is listed; both at once is a list that lies', () => {
  assert.deepEqual(verdicts([ran('a', 'optional', true)], list()), ['passed'])
  assert.deepEqual(verdicts([ran('a', 'optional', false)], list()), ['unexpected'])
  assert.deepEqual(verdicts([ran('a', 'optional', false)], list('a')), ['expected'])
  assert.deepEqual(verdicts([ran('a', 'optional', true)], list('a')), ['surprise'])
})

test('a required test passes or fails, and cannot be listed', () => {
  assert.deepEqual(verdicts([ran('a', 'required', false)], list()), ['failed'])
  assert.deepEqual(verdicts([ran('a', 'required', false)], list('a')), ['failed'])
  assert.match(faultsOf([ran('a', 'required', false)], list('a')).join(), /only optional/)
})

test('what rests on something that does not hold is not reached, through any number of steps', () => {
  const tests = [ran('a', 'optional', false), ran('b', 'required', true, 'a'), ran('c', 'required', false, 'b')]
  assert.deepEqual(verdicts(tests, list('a')), ['expected', 'unreached', 'unreached'])
})

test('a question has any answer, unless one was promised', () => {
  assert.deepEqual(verdicts([ran('a', 'check', false)], answers()), ['no'])
  assert.deepEqual(verdicts([ran('a', 'check', true)], answers(['a', 'yes'])), ['yes'])
  assert.deepEqual(verdicts([ran('a', 'check', false)], answers(['a', 'yes'])), ['changed'])
})

test('a test that did not come to its end failed, whatever its kind', () => {
  for (const kind of ['required', 'optional', 'check']) {
    assert.deepEqual(verdicts([{ ...ran('a', kind, true), outcome: null }], list()), ['failed'])
  }
})

test('a list names tests that exist, once, with a reason and a section', () => {
  const tests = [ran('a', 'optional', false)]
  assert.deepEqual(faultsOf(tests, list('a')), [])
  assert.match(faultsOf(tests, list('b')).join(), /no such test/)
  assert.match(faultsOf(tests, list('a', 'a')).join(), /twice/)
  assert.match(faultsOf(tests, { notPassed: [{ id: 'a', reason: '', section: '' }], answers: [] }).join(), /no reason/)
})

test('nothing required hides behind something that need not hold', () => {
  const behindListed = [ran('a', 'optional', false), ran('b', 'optional', true, 'a'), ran('c', 'required', true, 'b')]
  assert.match(faultsOf(behindListed, list('a')).join(), /^a: cannot be listed, c is required/)
  const behindQuestion = [ran('a', 'check', false), ran('c', 'required', true, 'a')]
  assert.match(faultsOf(behindQuestion, answers()).join(), /must be promised as yes/)
  assert.deepEqual(faultsOf(behindQuestion, answers(['a', 'yes'])), [])
})

test('a part of a list is run with what it rests on', () => {
  const tests = [ran('a', 'optional', true), ran('b', 'required', true, 'a'), ran('c', 'required', true, 'b'), ran('d', 'required', true)]
  assert.deepEqual([...withDependencies(tests, ['c'])].sort(), ['a', 'b', 'c'])
})
