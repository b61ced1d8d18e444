// What a step expects, held against what happened. Pure.
//
//   status   200                          of every answer
//   body     'text' or /pattern/          of every answer; `answer 2` is what the origin says the second time
//   whole    false                        the answer must (true) or must not (false) have come to its end
//   fields   { age: /^\d$/ }              of every answer; a list of values is joined with ", "
//   absent   ['x-a']                      fields that no answer may have
//   asks     'nothing' | 'plainly' | 'conditionally' | 'something', or a number: what reached the origin meanwhile
//   saw      { 'if-none-match': '"a"' }   fields of what the origin was asked first; null for one that must not be there
//   status of this cache in Cache-Status:  cacheStatus { hit: true, fwd: /miss/, stored: undefined }
//   distinct true                         no two answers have the same body
//   anyOf    [ … ]                        at least one of these holds
//   some     { … }                        at least one of the answers is like this
//   eventually true                       it may take a moment

/** What does not hold, in words, or null. */
export function faultOf (then, answers, asked) {
  const { anyOf, some, ...every } = then
  return everyFault(every, answers, asked) ?? anyOfFault(anyOf, answers, asked) ?? someFault(some, answers)
}

/** The parameters that the cache called `name` gave itself in a Cache-Status field (RFC 9211), or null. */
export function cacheStatusOf (field, name) {
  // The members of a list and their parameters, outside quoted strings.
  const split = (text, at) => text.match(new RegExp(`(?:"(?:[^"\\\\]|\\\\.)*"|[^"${at}])+`, 'g')) ?? []
  const bare = text => text.trim().replace(/^"(.*)"$/, '$1')
  for (const member of split(field ?? '', ',')) {
    const [cache, ...parameters] = split(member, ';')
    if (bare(cache) !== name) continue
    return Object.fromEntries(parameters.map(parameter => {
      const [key, ...value] = parameter.split('=')
      return [key.trim(), value.length ? bare(value.join('=')) : true]
    }))
  }
  return null
}

function everyFault (then, answers, asked) {
  return asksFault(then.asks, asked) ?? sawFault(then.saw, asked) ?? distinctFault(then.distinct, answers) ??
    answers.map(answer => answerFault(then, answer)).find(Boolean) ?? null
}

function anyOfFault (choices, answers, asked) {
  if (!choices) return null
  const faults = choices.map(choice => faultOf(choice, answers, asked))
  return faults.includes(null) ? null : faults.join('; nor: ')
}

function someFault (then, answers) {
  if (!then) return null
  const faults = answers.map(answer => answerFault(then, answer))
  return faults.includes(null) ? null : `of no answer: ${faults[0]}`
}

function answerFault (then, answer) {
  if (answer.error) return `no answer: ${answer.error}`
  if (then.status !== undefined && answer.status !== then.status) return `status is ${answer.status}, not ${then.status}`
  if (!matches(answer.body, then.body)) return `body is ${JSON.stringify(answer.body.slice(0, 120))}, not ${then.body}`
  if (then.whole !== undefined && answer.whole !== then.whole) return `the answer ${answer.whole ? 'came' : 'did not come'} to its end`
  for (const [name, wanted] of Object.entries(then.fields ?? {})) {
    if (!matches(valueOf(answer.fields, name), wanted)) return `${name} is ${valueOf(answer.fields, name)}, not ${wanted}`
  }
  for (const name of then.absent ?? []) {
    if (name in answer.fields) return `${name} is there: ${answer.fields[name]}`
  }
  return cacheStatusFault(then.cacheStatus, answer.fields)
}

function cacheStatusFault (wanted, fields) {
  if (!wanted) return null
  const given = cacheStatusOf(valueOf(fields, 'cache-status'), 'mangrove')
  if (!given) return `Cache-Status is ${fields['cache-status']}, without a word by mangrove`
  for (const [key, value] of Object.entries(wanted)) {
    const same = value instanceof RegExp ? value.test(String(given[key])) : given[key] === value
    if (!same) return `Cache-Status says ${key}=${given[key]}, not ${value}: ${fields['cache-status']}`
  }
  return null
}

function asksFault (wanted, asked) {
  const holds = {
    undefined: () => true,
    nothing: () => asked.length === 0,
    something: () => asked.length > 0,
    plainly: () => asked.length > 0 && !asked.some(({ conditional }) => conditional),
    conditionally: () => asked.length > 0 && asked.every(({ conditional }) => conditional)
  }[wanted]
  if (holds ? holds() : asked.length === wanted) return null
  const how = asked.map(({ method, conditional }) => `${method}${conditional ? ' conditionally' : ''}`)
  return `the origin was asked ${how.join(', ') || 'nothing'}, and should have been asked ${wanted}${holds ? '' : ' times'}`
}

function sawFault (wanted, asked) {
  for (const [name, value] of Object.entries(wanted ?? {})) {
    const seen = valueOf(asked[0]?.fields ?? {}, name)
    if (value === null ? seen !== undefined : !matches(seen, value)) return `the origin saw ${name}: ${seen}, not ${value ?? 'without it'}`
  }
  return null
}

function distinctFault (wanted, answers) {
  const bodies = answers.map(({ body }) => body)
  return wanted && new Set(bodies).size !== bodies.length ? `two answers have the same body: ${bodies.sort().join(', ')}` : null
}

function valueOf (fields, name) {
  const value = fields[name]
  return Array.isArray(value) ? value.join(', ') : value
}

function matches (value, wanted) {
  if (wanted === undefined) return true
  return wanted instanceof RegExp ? value !== undefined && wanted.test(value) : value === wanted
}
