// The command: which lists to run, against which program, and how to tell it. `run` beside this installs what is needed.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import * as report from './report.mjs'
import { fromDisk } from './turnstile.mjs'
import { faultsOf, judge, VERDICTS, withDependencies } from './verdict.mjs'

const USAGE = `usage: conformance/run [suite|beyond]… [options]

  suite, beyond         which list: the public suite, or our own beside it; both if none is named
  --from-disk           between two requests of a test the edge is killed, so that every hit comes from the disk
  --mangrove PATH       the program; without it, target/release/mangrove is built first
  --only SUITE|ID       these alone, with what they rest on; may be given several times
  --verbose ID          show the exchange of this test; alone, it runs this test alone
  --json FILE           write every verdict there as well`

// What is otherwise with --from-disk, by list: see README.md.
const OTHERWISE = JSON.parse(readFileSync(new URL('from-disk.json', import.meta.url), 'utf8'))
const LISTS = { suite: './suite.mjs', beyond: './beyond/beyond.mjs' }

// Leaving by `exit` lets edge.mjs take what it started along.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130))
process.exitCode = await main().catch(error => {
  console.error(error.message)
  return 2
})

async function main () {
  let options, named
  try {
    ({ values: options, positionals: named } = parseArgs({
      allowPositionals: true,
      options: {
        mangrove: { type: 'string' },
        'from-disk': { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [] },
        verbose: { type: 'string', multiple: true, default: [] },
        json: { type: 'string' },
        help: { type: 'boolean', default: false }
      }
    }))
    for (const name of named) if (!(name in LISTS)) throw new Error(`no list "${name}"`)
    if (!options.help && !options.mangrove) throw new Error('--mangrove PATH is missing')
  } catch (error) {
    console.error(`${error.message}\n\n${USAGE}`)
    return 2
  }
  if (options.help) {
    console.log(USAGE)
    return 0
  }

  const lists = await Promise.all((named.length ? named : Object.keys(LISTS)).map(name => import(LISTS[name])))
  const asked = new Set([...options.only, ...options.verbose])
  const chosen = lists.map(list => choose(list.tests(), asked)).map((choice, at) => ({ list: lists[at], ...choice }))
  const unknown = [...asked].filter(name => !chosen.some(({ tests }) => tests.some(({ id, suite }) => [id, suite].includes(name))))
  if (unknown.length) {
    console.error(`no test or suite named ${unknown.join(', ')}`)
    return 2
  }

  let wrong = 0
  const told = []
  for (const { list, tests, shown } of chosen) {
    if (shown.size === 0) continue
    const { judged, troubles } = await tell(list, tests, shown, options)
    wrong += troubles.length + judged.filter(({ verdict }) => VERDICTS[verdict].wrong).length
    told.push(...judged)
  }
  if (options.json) report.write(options.json, told)
  return wrong ? 1 : 0
}

async function tell (list, tests, shown, options) {
  const onDisk = options['from-disk']
  const expectations = onDisk ? fromDisk(list.expectations, OTHERWISE[list.name]) : list.expectations
  const faults = faultsOf(tests, expectations)
  const wanted = withDependencies(tests, shown)
  const { outcomes, troubles, hits } = await list.run(options.mangrove, wanted, new Set(options.verbose), onDisk)
  const ran = tests.map(test => ({ ...test, outcome: outcomes.get(test.id) ?? null }))
  const judged = judge(ran, expectations).filter(({ id }) => shown.has(id))
  if (onDisk && shown.size === tests.length && !hits?.disk) troubles.push('no hit came from the disk')
  report.print(onDisk ? `${list.title}, from the disk` : list.title, judged, [...faults, ...troubles])
  if (onDisk && hits) console.log(`${hits.all} hits, ${hits.disk} of them from the disk`)
  return { judged, troubles: [...faults, ...troubles] }
}

function choose (tests, asked) {
  const shown = tests.filter(({ id, suite }) => asked.size === 0 || asked.has(id) || asked.has(suite))
  return { tests, shown: new Set(shown.map(({ id }) => id)) }
}
