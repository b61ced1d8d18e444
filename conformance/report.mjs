// What people read: a table by suite, then everything that needs a word, then one line.

import { writeFileSync } from 'node:fs'
import { count, VERDICTS } from './verdict.mjs'

const COLUMNS = [
  ['suite', null],
  ['passed', ['passed']],
  ['expected', ['expected']],
  ['not reached', ['unreached']],
  ['FAILED', ['failed']],
  ['not listed', ['unexpected']],
  ['list lies', ['surprise', 'changed']],
  ['yes', ['yes']],
  ['no', ['no']]
]
const AT_LENGTH = ['failed', 'unexpected', 'surprise', 'changed', 'expected', 'unreached']

/** Prints one list's verdicts. */
export function print (title, judged, troubles) {
  console.log(`\n${title}\n`)
  table(judged)
  for (const verdict of AT_LENGTH) {
    const these = judged.filter(test => test.verdict === verdict)
    if (these.length) console.log(`\n${VERDICTS[verdict].says}`)
    for (const test of these) console.log(`  ${test.id}${test.kind === 'required' && verdict === 'unreached' ? ' [required]' : ''}\n      ${shorten(test.reason ?? '')}`)
  }
  const read = judged.filter(({ verdict, outcome }) => verdict === 'passed' && outcome.reading)
  if (read.length) console.log('\npassed as read by this driver, because the suite cannot tell (README.md)')
  for (const { id, outcome } of read) console.log(`  ${id}\n      ${outcome.reading}`)
  for (const trouble of troubles) console.log(`\nTROUBLE ${trouble}`)
  console.log(`\n${summary(judged)}`)
}

/** `157 required: 157 passed · 97 optional: 89 passed, 8 expected · 90 questions: 60 yes, 30 no`. */
export function summary (judged) {
  const counts = count(judged)
  const words = {
    failed: 'FAILED',
    unexpected: 'NOT LISTED',
    surprise: 'WRONGLY LISTED',
    changed: 'CHANGED',
    passed: 'passed',
    expected: 'expected',
    unreached: 'not reached',
    yes: 'yes',
    no: 'no'
  }
  const part = (kind, name) => {
    const { elsewhere = 0, ...ran } = counts[kind]
    const all = Object.values(ran).reduce((sum, number) => sum + number, 0)
    if (all === 0) return null
    const told = Object.keys(words).filter(verdict => ran[verdict]).map(verdict => `${ran[verdict]} ${words[verdict]}`)
    const more = elsewhere ? ` (${elsewhere} more for another sort of cache)` : ''
    return `${all} ${name}: ${told.join(', ')}${more}`
  }
  return [part('required', 'required'), part('optional', 'optional'), part('check', 'questions')].filter(Boolean).join(' · ')
}

/** Writes every verdict as JSON, for other programs. */
export function write (file, judged) {
  const rows = judged.map(({ id, suite, kind, verdict, reason, outcome }) => ({ id, suite, kind, verdict, reason, outcome }))
  writeFileSync(file, JSON.stringify(rows, null, 1) + '\n')
}

function table (judged) {
  const suites = [...new Set(judged.map(({ suite }) => suite))]
  const rows = suites.map(suite => {
    const these = judged.filter(test => test.suite === suite)
    return COLUMNS.map(([, verdicts]) => verdicts ? these.filter(({ verdict }) => verdicts.includes(verdict)).length : suite)
  })
  const cells = [COLUMNS.map(([name]) => name), ...rows.map(row => row.map(cell => cell === 0 ? '·' : String(cell)))]
  // A column that says nothing anywhere is left out, except what people look for first.
  const kept = COLUMNS.map((_, at) => at <= 1 || rows.some(row => row[at] !== 0))
  const widths = COLUMNS.map((_, at) => Math.max(...cells.map(row => row[at].length)))
  for (const row of cells) {
    const line = row.map((cell, at) => at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))
    console.log(`  ${line.filter((_, at) => kept[at]).join('  ')}`)
  }
}

function shorten (text) {
  const line = text.replace(/\s+/g, ' ')
  return line.length > 220 ? `${line.slice(0, 219)}…` : line
}
