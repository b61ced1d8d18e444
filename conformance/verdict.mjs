// From what happened to what it means. Pure: outcomes and expectations in, verdicts out.
//
// A test:        { id, suite, kind, title, dependsOn, applies, outcome }
//   kind         required: must pass · optional: passes or is listed with its reason · check: a question, yes or no
//   applies      false for tests of another sort of cache, which were not run
//   outcome      null when it was not run, else { passed, stage, message }
// Expectations:  { notPassed: [{ id, reason, section }], answers: [{ id, answer, reason, section }] }

/** What a verdict can be, in the order people read them. `wrong` ones make the run fail. */
export const VERDICTS = {
  failed: { wrong: true, says: 'FAILED' },
  unexpected: { wrong: true, says: 'NOT PASSED, and not listed' },
  surprise: { wrong: true, says: 'PASSED, though listed as not passed: take it off the list' },
  changed: { wrong: true, says: 'ANSWER CHANGED' },
  expected: { wrong: false, says: 'expected' },
  unreached: { wrong: false, says: 'not reached' },
  passed: { wrong: false, says: 'passed' },
  yes: { wrong: false, says: 'yes' },
  no: { wrong: false, says: 'no' },
  elsewhere: { wrong: false, says: 'for another sort of cache' }
}

/** Every test with its verdict and, where there is one, its reason. */
export function judge (tests, expectations) {
  const byId = new Map(tests.map(test => [test.id, test]))
  const listed = new Map(expectations.notPassed.map(entry => [entry.id, entry]))
  const answers = new Map(expectations.answers.map(entry => [entry.id, entry]))
  return tests.map(test => ({ ...test, ...verdictOf(test, byId, listed.get(test.id), answers.get(test.id)) }))
}

/** What is wrong with the expectations themselves, whatever happened: one sentence each. */
export function faultsOf (tests, expectations) {
  const byId = new Map(tests.map(test => [test.id, test]))
  const faults = []
  const seen = new Set()
  for (const entry of [...expectations.notPassed, ...expectations.answers]) {
    const test = byId.get(entry.id)
    const wanted = 'answer' in entry ? 'check' : 'optional'
    if (!test) faults.push(`${entry.id}: no such test`)
    else if (test.kind !== wanted) faults.push(`${entry.id}: is ${test.kind}, and only ${wanted} ones can be listed here`)
    else if (!test.applies) faults.push(`${entry.id}: is not run, so it cannot be listed`)
    if (!entry.reason || !entry.section) faults.push(`${entry.id}: has no reason or no section`)
    if ('answer' in entry && !['yes', 'no'].includes(entry.answer)) faults.push(`${entry.id}: an answer is yes or no`)
    if (seen.has(entry.id)) faults.push(`${entry.id}: is listed twice`)
    seen.add(entry.id)
  }
  const notPassed = new Set(expectations.notPassed.map(({ id }) => id))
  const promised = new Set(expectations.answers.filter(({ answer }) => answer === 'yes').map(({ id }) => id))
  for (const test of tests) {
    for (const dependency of test.dependsOn) {
      if (!byId.has(dependency)) faults.push(`${test.id}: rests on ${dependency}, which does not exist`)
    }
    if (test.kind !== 'required' || !test.applies) continue
    // Nothing that is required may hide behind something that need not hold.
    for (const dependency of withDependencies(tests, test.dependsOn)) {
      if (notPassed.has(dependency)) faults.push(`${dependency}: cannot be listed, ${test.id} is required and rests on it`)
      if (byId.get(dependency).kind === 'check' && !promised.has(dependency)) {
        faults.push(`${dependency}: its answer must be promised as yes, ${test.id} is required and rests on it`)
      }
    }
  }
  return faults
}

/** `ids` with everything they depend on, so that a part of a list can be run alone. */
export function withDependencies (tests, ids) {
  const byId = new Map(tests.map(test => [test.id, test]))
  const wanted = new Set()
  const add = id => {
    if (wanted.has(id) || !byId.has(id)) return
    wanted.add(id)
    byId.get(id).dependsOn.forEach(add)
  }
  ids.forEach(add)
  return wanted
}

/** Verdicts counted: `{ required: { passed: 3, … }, optional: …, check: … }`. */
export function count (judged) {
  const counts = { required: {}, optional: {}, check: {} }
  for (const { kind, verdict } of judged) counts[kind][verdict] = (counts[kind][verdict] ?? 0) + 1
  return counts
}

function verdictOf (test, byId, listed, answer) {
  if (!test.applies) return { verdict: 'elsewhere' }
  if (!test.outcome) return { verdict: 'failed', reason: 'was not run to its end' }
  const { passed } = test.outcome
  const reason = test.outcome.message

  // What it rests on does not hold, so whatever it did says nothing about its subject.
  const missing = test.dependsOn.find(id => !holds(byId.get(id), byId))
  if (missing) return { verdict: 'unreached', reason: `rests on ${missing}` }

  switch (test.kind) {
    case 'required':
      return passed ? { verdict: 'passed' } : { verdict: 'failed', reason }
    case 'optional':
      if (passed) return listed ? { verdict: 'surprise', reason: listed.reason } : { verdict: 'passed' }
      return listed ? { verdict: 'expected', reason: `${listed.reason} (${listed.section})` } : { verdict: 'unexpected', reason }
    case 'check': {
      const given = passed ? 'yes' : 'no'
      if (answer && answer.answer !== given) {
        const instead = `${given}, not ${answer.answer}: ${answer.reason} (${answer.section})`
        return { verdict: 'changed', reason: passed ? instead : `${instead}; ${reason}` }
      }
      return { verdict: given, reason: passed ? undefined : reason }
    }
    default:
      throw new Error(`${test.id}: unknown kind ${test.kind}`)
  }
}

function holds (test, byId) {
  return Boolean(test?.outcome?.passed) && test.dependsOn.every(id => holds(byId.get(id), byId))
}
