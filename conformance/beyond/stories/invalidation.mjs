import { reused, says, stores } from './words.mjs'

const story = (id, kind, says, steps, section = 'RFC 9111 section 4.4') => ({ id, section, kind, says, steps })
const changes = (ask, gives) => ({ ask, body: 'a', gives: { status: 200, ...gives }, then: { asks: 'something' } })
const gone = step => ({ ...step, gives: says('max-age=60'), then: { asks: 'something' } })
const still = { then: { asks: 'nothing', body: 'answer 1' } }
const at = (place, step) => ({ ...step, ask: `GET ${place}` })
const stored = stores('max-age=60')

export default {
  topic: 'invalidation',
  stories: [
    story('invalidate-redirect', 'required', 'a 303 is no error: what was stored for the target is gone', [stored, changes('POST', { status: 303, fields: { Location: '/elsewhere' } }), gone({})]),
    story('invalidate-not-on-error', 'optional', 'a request that failed has changed nothing', [stored, changes('POST', { status: 403 }), still]),
    story('invalidate-unknown-method', 'required', 'a method that nobody knows may have changed something', [stored, changes('LOCK', {}), gone({})]),
    story('invalidate-not-safe-method', 'optional', 'OPTIONS changes nothing', [stored, { ask: 'OPTIONS', gives: {} }, reused]),
    story('invalidate-all-variants', 'required', 'all variants are gone', [
      { ...stores('max-age=60', { Vary: 'X-Who' }), send: { 'X-Who': 'a' } },
      { ...stores('max-age=60', { Vary: 'X-Who' }), send: { 'X-Who': 'b' } },
      changes('PUT', {}),
      { gives: says('max-age=60', { Vary: 'X-Who' }), send: { 'X-Who': 'a' }, then: { asks: 'something' } },
      { gives: says('max-age=60', { Vary: 'X-Who' }), send: { 'X-Who': 'b' }, then: { asks: 'something' } }
    ]),
    story('invalidate-this-query', 'optional', 'another query is another resource', [at('page?a=1', stored), changes('POST page?a=2', {}), at('page?a=1', still)]),
    story('invalidate-location', 'optional', 'Location on the same origin is gone, too', [at('list', stored), changes('POST form', { status: 201, fields: { Location: 'list' } }), at('list', gone({}))]),
    story('invalidate-location-absolute', 'optional', 'also when it is a whole URL', [
      at('list', stored), changes('POST form', { status: 201, fields: { Location: 'http://site.example/invalidate-location-absolute/list' } }), at('list', gone({}))
    ]),
    story('invalidate-content-location', 'optional', 'and Content-Location', [
      at('list', stored), changes('PUT form', { fields: { 'Content-Location': '/invalidate-content-location/list' } }), at('list', gone({}))
    ]),
    story('invalidate-not-elsewhere', 'required', "nobody's Location empties another site's store", [
      { ...at('list', stored), host: 'other' },
      changes('POST form', { status: 201, fields: { Location: 'http://other.example/invalidate-not-elsewhere/list' } }),
      { ...at('list', still), host: 'other' }
    ]),
    story('invalidate-not-elsewhere-content', 'required', 'nor does a Content-Location', [
      { ...at('list', stored), host: 'other' },
      changes('PUT form', { fields: { 'Content-Location': '//other.example/invalidate-not-elsewhere-content/list' } }),
      { ...at('list', still), host: 'other' }
    ]),
    story('invalidate-not-other-port', 'required', 'another port is another origin', [
      at('list', stored),
      changes('POST form', { status: 201, fields: { Location: 'http://site.example:8443/invalidate-not-other-port/list' } }),
      at('list', still)
    ]),
    story('hosts-apart', 'required', 'two hosts never share what is stored', [
      stored, { host: 'other', gives: says('max-age=60'), then: { asks: 'something', body: 'answer 2' } }
    ], 'RFC 9111 section 2')
  ]
}
