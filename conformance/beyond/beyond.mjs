// Our own list: what the public suite does not ask. One story each, told in steps; see stories/ for how they are written.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'
import { Edge, serveOrigin, until } from '../edge.mjs'
import { turnstile } from '../turnstile.mjs'
import { faultOf } from './expect.mjs'
import { Stage } from './origin.mjs'
import topics from './stories/index.mjs'

const AT_ONCE = 40 // stories under way together
const ANSWER_WITHIN = 15_000 // milliseconds
const NOTICED_WITHIN = 3_000 // milliseconds for what may happen after the answer, such as a revalidation behind it
const STORY_WITHIN = 60_000 // milliseconds

export const name = 'beyond'
export const title = 'beyond the suite'
export const expectations = JSON.parse(readFileSync(new URL('expected.json', import.meta.url), 'utf8'))

/** Every story, in order, not yet run. */
export function tests () {
  return topics.flatMap(({ topic, stories }) => stories.map(story => ({
    id: story.id,
    suite: topic,
    title: story.says,
    kind: story.kind,
    dependsOn: story.restsOn ?? [],
    applies: true,
    outcome: null
  })))
}

/** Runs the stories in `wanted` through `program`; `told` ones show their exchange. Returns outcomes by id, troubles, and hits. */
export async function run (program, wanted, told, fromDisk) {
  const stage = new Stage()
  const origin = await serveOrigin(stage.handle)
  const gone = await serveOrigin(stage.handle)
  const edges = []
  const begin = async () => {
    const edge = await Edge.start(program, origin.url, gone.url)
    edges.push(edge)
    return { edge, gate: turnstile(edge, fromDisk) }
  }
  const outcomes = new Map()
  const troubles = []
  let hits
  try {
    const usual = await begin()
    // No edge gives way to another while a request is under way: those that take long have one of their own.
    const patient = fromDisk ? await begin() : usual
    const waiting = topics.flatMap(({ stories }) => stories).filter(({ id }) => wanted.has(id))
    const found = new Map()
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
      for (let story = waiting.shift(); story; story = waiting.shift()) {
        found.set(story.id, { story, fault: await within(STORY_WITHIN, tell(story, { stage, gone, ...(takesLong(story) ? patient : usual) }, told.has(story.id))) })
      }
    }))
    const said = await Promise.all(edges.map(edge => edge.reasons()))
    hits = (await Promise.all(edges.map(edge => edge.hits()))).reduce((sum, some) => ({ all: sum.all + some.all, disk: sum.disk + some.disk }))
    for (const [id, { story, fault }] of found) {
      const reasons = said.flatMap(of => of(`/${id}/`))
      const mangrove = reasons.length ? ` [Mangrove: ${reasons.join(', ')}]` : ''
      outcomes.set(id, fault
        ? { passed: false, reasons, message: `${story.says}: ${fault} (${story.section})${mangrove}` }
        : { passed: true, reasons })
    }
  } finally {
    for (const edge of edges) {
      const trouble = await edge.end()
      if (trouble) troubles.push(trouble)
    }
    origin.end()
    gone.end()
  }
  return { outcomes, troubles, hits }
}

function takesLong (story) {
  return story.steps.some(({ gives }) => gives?.fault === 'silence')
}

/** Plays one story; returns what was not as it should be, or null. */
async function tell (story, { stage, edge, gone, gate }, aloud) {
  const part = stage.play(story.id)
  for (const [at, step] of story.steps.entries()) {
    await pause((step.wait ?? 0) * 1000)
    let before
    const answers = await gate.pass(story.id, () => {
      part.gives = step.gives ?? {}
      if (step.goes) gone.end()
      before = part.asked.length
      return Promise.all(Array.from({ length: step.times ?? 1 }, () => ask(edge.port, story.id, step)))
    })
    const asked = () => part.asked.slice(before)
    if (aloud) show(story, at, step, answers, asked())
    const fault = () => faultOf(step.then ?? {}, answers, asked())
    // Most things are so at once; a revalidation behind an answer, or a refresh by HEAD, takes a moment.
    if (step.then?.eventually) await until(() => fault() === null, NOTICED_WITHIN)
    const found = fault()
    if (found) return `step ${at + 1}: ${found}`
  }
  return null
}

function ask (port, id, step) {
  const [method, where = ''] = (step.ask ?? 'GET').split(' ')
  const headers = { Host: `${step.host ?? 'site'}.example`, ...step.send }
  const options = { host: '127.0.0.1', port, method, path: `/${id}/${where}`, headers, agent: false, timeout: ANSWER_WITHIN }
  return new Promise(resolve => {
    const request = http.request(options, response => {
      const parts = []
      const answer = { status: response.statusCode, fields: response.headers, whole: false }
      const close = () => resolve({ ...answer, whole: response.complete, body: Buffer.concat(parts).toString('latin1') })
      response.on('data', part => parts.push(part)).on('error', () => {}).on('close', close)
    })
    request.on('timeout', () => request.destroy(new Error('no answer in time')))
    request.on('error', error => resolve({ status: 0, fields: {}, body: '', whole: false, error: error.message }))
    request.end(step.body)
  })
}

function show (story, at, step, answers, asked) {
  const lines = fields => Object.entries(fields).map(([name, value]) => `      ${name}: ${value}`).join('\n')
  console.log(`\n${story.id}, step ${at + 1}: ${step.ask ?? 'GET'}\n${lines(step.send ?? {})}`)
  for (const { method, url, fields } of asked) console.log(`    the origin is asked ${method} ${url}\n${lines(fields)}`)
  for (const { status, fields, body, error } of answers) console.log(`    answer ${error ?? status}\n${lines(fields)}\n      ${JSON.stringify(body.slice(0, 200))}`)
}

async function within (milliseconds, work) {
  const limit = new AbortController()
  const late = pause(milliseconds, 'did not come to its end in time', { signal: limit.signal }).catch(() => null)
  const first = await Promise.race([work, late])
  limit.abort()
  return first
}
