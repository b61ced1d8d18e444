// The public suite, `http-cache-tests`: its own origin and client, around a Mangrove in the middle.

import nodeFetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import { testUUIDs } from 'http-cache-tests/client/test.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { Edge, serveOrigin } from './edge.mjs'
import { turnstile } from './turnstile.mjs'

const ANSWER_WITHIN = 15_000 // milliseconds for one exchange
const ALL_WITHIN = 400_000 // milliseconds for all of them; about thirty seconds are usual
const AT_ONCE = 100 // tests under way together, as the suite's own client does it

// A connection for every request, so that no request meets one that is just being closed for idleness.
const CONNECTIONS = new http.Agent({ keepAlive: false })

export const name = 'suite'
export const title = 'http-cache-tests 0.4.5'
export const expectations = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8'))

/** Every test of the suite, in its order, not yet run. */
export function tests () {
  const kinds = new Map(expectations.kinds.map(({ suite, kind }) => [suite, kind]))
  return [...suites, surrogate].flatMap(suite => suite.tests.map(test => ({
    id: test.id,
    suite: suite.id,
    title: test.name,
    kind: kindOf(test, kinds.get(suite.id)),
    dependsOn: test.depends_on ?? [],
    // These ask a browser's own cache; the suite's client leaves them out by itself.
    applies: test.browser_only !== true,
    outcome: null
  })))
}

/** Runs the tests in `wanted` through `program`; `told` ones show their exchange. Returns outcomes by id, troubles, and hits. */
export async function run (program, wanted, told, fromDisk) {
  const origin = await serveOrigin(answer)
  let edge
  const speak = console.log
  const outcomes = new Map()
  const exchanges = new Map()
  const troubles = []
  let hits
  try {
    edge = await Edge.start(program, origin.url)
    // The suite's origin and client speak through the console; only what was asked for is wanted here.
    if (told.size === 0) console.log = () => {}
    const chosen = [...suites, surrogate].map(suite => ({ ...suite, tests: suite.tests.filter(({ id }) => wanted.has(id)) }))
    for (const test of chosen.flatMap(suite => suite.tests)) test.dump = told.has(test.id)
    const inTime = await within(ALL_WITHIN, runTests(chosen, fetchInto(exchanges, turnstile(edge, fromDisk)), false, edge.base, AT_ONCE))
    if (!inTime) troubles.push(`not done after ${ALL_WITHIN / 1000} s`)
    const said = await edge.reasons()
    hits = await edge.hits()
    for (const [id, result] of Object.entries(getResults())) {
      const outcome = outcomeOf(result, said(testUUIDs[id]))
      outcomes.set(id, READINGS.has(id) ? read(READINGS.get(id), outcome, exchanges.get(id) ?? []) : outcome)
    }
  } finally {
    console.log = speak
    const trouble = await edge?.end()
    if (trouble) troubles.push(trouble)
    origin.end()
  }
  return { outcomes, troubles, hits }
}

function kindOf (test, ofSuite) {
  const kind = { optimal: 'optional', check: 'check', required: 'required' }[test.kind ?? 'required']
  if (!kind) throw new Error(`${test.id}: unknown kind ${test.kind}`)
  return kind === 'required' && ofSuite ? ofSuite : kind
}

// The suite's own server listens on every address and knows no port 0, so its parts are served from here.
function answer (request, response) {
  const [, part, ...rest] = new URL(request.url, 'http://origin.invalid').pathname.split('/')
  const handle = { config: handleConfig, state: handleState, test: handleTest }[part]
  if (part === 'test') closeWhenUnframed(response)
  if (handle) return handle(rest, request, response)
  response.statusCode = 404
  response.end()
}

// One test sends a transfer coding that nobody knows; the end of such a body is the connection's (RFC 9112 section 6.3).
function closeWhenUnframed (response) {
  const { end } = response
  response.end = (...content) => {
    if (response.hasHeader('Transfer-Encoding')) response.shouldKeepAlive = false
    return end.apply(response, content)
  }
}

// The suite's client keeps no answer it was not content with; the readings below need them.
function fetchInto (exchanges, gate) {
  return async (url, init) => {
    const id = (init?.headers ?? []).find(([name]) => name === 'Test-ID')?.[1]
    const response = await gate.pass(id ?? null, () => nodeFetch(url, { ...init, agent: CONNECTIONS, timeout: ANSWER_WITHIN }))
    if (id) exchanges.set(id, [...(exchanges.get(id) ?? []), response])
    return response
  }
}

// Tests that cannot be passed as the suite judges them, or not without breaking an RFC: what they ask is read from their own
// exchange instead. See README.md.
const READ_AS = {
  // A cache cut off from its origin "MUST generate an error response" (RFC 9111 section 5.2.2.2).
  'error-when-cut-off': ([stored, error]) => isFromOrigin(stored) && error?.status >= 500 && !isFromOrigin(error),
  // What the edge could not decode is refused whole (RFC 9112 section 6.1), so nothing of it is kept.
  'refused-whole': answers => answers.length > 0 && answers.every(answer => answer.status === 502 && !isFromOrigin(answer)),
  // A 304 with another strong tag must update nothing (RFC 9111 section 4.3.4): what is stored never wears the new one.
  'tag-kept': ([stored, ...later]) => later.length > 0 && later.every(answer =>
    countOf(answer) !== countOf(stored) || answer.headers.get('ETag') === stored.headers.get('ETag'))
}
const READINGS = new Map(expectations.readings.map(({ id, reading }) => [id, reading]))

function read (reading, outcome, answers) {
  if (outcome.passed) return outcome
  if (READ_AS[reading](answers)) return { passed: true, reasons: outcome.reasons, reading }
  const seen = answers.map(answer => `${answer.status}${isFromOrigin(answer) ? ' by the origin' : ''}`).join(', ')
  return { ...outcome, message: `${outcome.message}; read as ${reading}: answers were ${seen || 'none'}` }
}

function isFromOrigin (answer) {
  return countOf(answer) !== null
}

// Which of the origin's answers this is, from one; null for what the origin did not say.
function countOf (answer) {
  return answer?.headers.get('Server-Request-Count') ?? null
}

function outcomeOf (result, reasons) {
  if (result === true) return { passed: true, reasons }
  const [name, message] = result
  const stage = { Setup: 'setup', Assertion: 'assertion' }[name] ?? 'exchange'
  const said = reasons.length ? ` [Mangrove: ${reasons.join(', ')}]` : ''
  return { passed: false, stage, reasons, message: `${stage === 'assertion' ? '' : `${stage}: `}${message}${said}` }
}

async function within (milliseconds, work) {
  let timer
  const late = new Promise(resolve => { timer = setTimeout(() => resolve(false), milliseconds) })
  const done = await Promise.race([work.then(() => true), late])
  clearTimeout(timer)
  return done
}
