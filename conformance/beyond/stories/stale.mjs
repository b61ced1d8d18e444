import { after, askedAgain, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })
const late = step => after(2.5, step)
const old = { asks: 'something', status: 200, body: 'answer 1', fields: { age: /^[2-9]$/ } }

// The kinds of error that RFC 5861 section 4 names, and what an origin that is not there looks like.
const FAILURES = {
  cut: { fault: 'cut' },
  'cut-in-head': { fault: 'cut in head' },
  'not-http': { fault: 'not HTTP' },
  silence: { fault: 'silence' },
  500: { status: 500 },
  502: { status: 502 },
  503: { status: 503 },
  504: { status: 504 }
}
const onEachFailure = Object.entries(FAILURES).map(([name, gives]) => story(
  `stale-if-error-${name}`, 'RFC 5861 section 4', 'optional', `stale-if-error serves what is stale on ${name}`,
  [stores('max-age=1, stale-if-error=60'), late({ gives, then: old })]
))

export default {
  topic: 'stale',
  stories: [
    ...onEachFailure,
    story('stale-if-error-refused', 'RFC 5861 section 4', 'optional', 'and when nobody listens any more', [
      { ...stores('max-age=1, stale-if-error=60'), host: 'gone' },
      late({ host: 'gone', goes: true, then: { ...old, asks: 'nothing' } })
    ]),
    story('stale-if-error-not-404', 'RFC 5861 section 4', 'required', 'a 404 is an answer and no error of the origin', [
      stores('max-age=1, stale-if-error=60'), late({ gives: { status: 404 }, then: { status: 404 } })
    ]),
    story('stale-if-error-over', 'RFC 5861 section 4', 'optional', 'for as long as it says', [
      stores('max-age=1, stale-if-error=1'), after(3.5, { gives: { status: 503 }, then: { status: 503 } })
    ]),
    story('stale-if-error-forbidden', 'RFC 9111 section 5.2.2.2', 'required', 'must-revalidate outweighs it', [
      stores('max-age=1, stale-if-error=60, must-revalidate'), late({ gives: { fault: 'cut' }, then: { anyOf: [{ status: 504 }, { status: 502 }] } })
    ]),
    story('stale-if-error-forbidden-targeted', 'RFC 9213 section 2.2', 'required', 'also in the targeted field', [
      stores('max-age=60', { 'CDN-Cache-Control': 'max-age=1, must-revalidate' }), late({ gives: { fault: 'cut' }, then: { anyOf: [{ status: 504 }, { status: 502 }] } })
    ]),
    story('stale-if-error-asked', 'RFC 5861 section 4', 'optional', 'a client may ask for it as well', [
      stores('max-age=1'), late({ send: { 'Cache-Control': 'stale-if-error=60' }, gives: { status: 503 }, then: old })
    ]),
    story('stale-while-down', 'RFC 9111 section 4.2.4', 'optional', 'cut off from the origin, what is stale is better than nothing', [
      stores('max-age=1'), late({ gives: { fault: 'cut' }, then: old })
    ]),
    story('stale-while-down-recovers', 'RFC 9111 section 4.2.4', 'optional', 'and the next answer is new again', [
      stores('max-age=1'), late({ gives: { fault: 'cut' }, then: old }), { gives: says('max-age=60'), wait: 2, then: { eventually: true, asks: 'something', status: 200, body: /^answer \d$/ } }
    ]),
    story('stale-while-revalidate', 'RFC 5861 section 3', 'optional', 'what is stale is served at once, and the origin is asked behind it', [
      stores('max-age=1, stale-while-revalidate=60', { ETag: '"a"' }),
      late({ gives: says('max-age=60', { ETag: '"b"' }), then: { eventually: true, status: 200, body: 'answer 1', asks: 'conditionally' } }),
      { wait: 0.5, then: { asks: 'nothing', body: 'answer 2' } }
    ]),
    story('stale-while-revalidate-once', 'RFC 5861 section 3', 'optional', 'once, however many ask', [
      stores('max-age=1, stale-while-revalidate=60'),
      late({ times: 8, gives: says('max-age=60', {}, { after: 200 }), then: { eventually: true, status: 200, body: 'answer 1', asks: 1 } })
    ]),
    story('stale-while-revalidate-over', 'RFC 5861 section 3', 'required', 'for as long as it says', [
      stores('max-age=1, stale-while-revalidate=1'), after(3.5, askedAgain)
    ]),
    story('stale-while-revalidate-forbidden', 'RFC 9111 section 5.2.2.2', 'required', 'and never against must-revalidate', [
      stores('max-age=1, stale-while-revalidate=60, must-revalidate'), late(askedAgain)
    ])
  ]
}
