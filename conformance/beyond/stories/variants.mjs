import { after, askedAgain, reused, says, stores } from './words.mjs'

const story = (id, kind, says, steps, section = 'RFC 9111 section 4.1') => ({ id, section, kind, says, steps })
const asking = (fields, step) => ({ ...step, send: fields })
const varies = (by, fields) => stores('max-age=60', { Vary: by, ...fields })
const another = { gives: says('max-age=60', { Vary: 'X-Who' }), then: { asks: 'something', body: 'answer 2' } }

export default {
  topic: 'variants',
  stories: [
    story('vary-case', 'required', 'names in Vary have no case', [
      asking({ 'X-Who': 'a' }, varies('x-wHO')), asking({ 'X-Who': 'b' }, another)
    ]),
    story('vary-empty', 'optional', 'an empty Vary names nothing', [varies(''), asking({ 'X-Who': 'b' }, reused)]),
    story('vary-value-case', 'required', 'values of fields that nobody knows keep their case', [
      asking({ 'X-Who': 'a' }, varies('X-Who')), asking({ 'X-Who': 'A' }, another)
    ]),
    story('vary-absent-is-not-empty', 'required', 'a field that is absent matches only one that is absent', [
      varies('X-Who'), asking({ 'X-Who': '' }, another)
    ]),
    story('vary-star-among-others', 'required', 'a star anywhere in Vary matches nothing', [
      asking({ 'X-Who': 'a' }, varies('X-Who, *')), asking({ 'X-Who': 'a' }, another)
    ]),
    story('vary-two-kept', 'optional', 'variants live beside one another', [
      asking({ 'X-Who': 'a' }, varies('X-Who')),
      asking({ 'X-Who': 'b' }, another),
      asking({ 'X-Who': 'a' }, reused),
      asking({ 'X-Who': 'b' }, { then: { asks: 'nothing', body: 'answer 2' } })
    ]),
    story('vary-white-space', 'optional', 'white space between members makes no variant', [
      asking({ 'X-Who': 'a,b' }, varies('X-Who')), asking({ 'X-Who': 'a ,  b' }, reused)
    ]),
    story('vary-codings-order', 'optional', 'Accept-Encoding is what it accepts, in any order', [
      asking({ 'Accept-Encoding': 'gzip, br' }, varies('Accept-Encoding')), asking({ 'Accept-Encoding': 'br,gzip' }, reused)
    ]),
    story('vary-codings-differ', 'required', 'a client without a coding is never given it', [
      asking({ 'Accept-Encoding': 'gzip' }, varies('Accept-Encoding', { 'Content-Encoding': 'gzip' })),
      asking({ 'Accept-Encoding': 'identity' }, { gives: says('max-age=60', { Vary: 'Accept-Encoding' }), then: { asks: 'something', absent: ['content-encoding'] } })
    ], 'RFC 9110 section 12.5.3'),
    story('vary-codings-refused', 'required', 'a weight of zero is a refusal', [
      asking({ 'Accept-Encoding': 'gzip' }, varies('Accept-Encoding', { 'Content-Encoding': 'gzip' })),
      asking({ 'Accept-Encoding': 'gzip;q=0' }, { gives: says('max-age=60', { Vary: 'Accept-Encoding' }), then: { asks: 'something', absent: ['content-encoding'] } })
    ], 'RFC 9110 section 12.5.3'),
    story('vary-languages-order', 'required', 'preferences that differ are told apart, or at least not mixed up', [
      asking({ 'Accept-Language': 'en;q=1, de;q=0.5' }, varies('Accept-Language')),
      asking({ 'Accept-Language': 'en;q=0.5, de;q=1' }, askedAgain)
    ]),
    story('vary-validators-of-all', 'optional', 'with no variant for this request, the origin is told which ones there are', [
      asking({ 'X-Who': 'a' }, varies('X-Who', { ETag: '"a"' })),
      asking({ 'X-Who': 'b' }, {
        gives: { conditional: { status: 304, fields: { ETag: '"a"', 'Cache-Control': 'max-age=60', Vary: 'X-Who' } }, fields: { ETag: '"a"', Vary: 'X-Who' } },
        then: { asks: 'conditionally', saw: { 'if-none-match': '"a"' }, status: 200, body: 'answer 1' }
      })
    ], 'RFC 9111 section 4.3.1'),
    story('vary-revalidates-own', 'required', 'a stale variant is revalidated with the fields it was chosen by', [
      asking({ 'X-Who': 'a' }, stores('max-age=1', { Vary: 'X-Who', ETag: '"a"' })),
      after(2.5, asking({ 'X-Who': 'a' }, { gives: { conditional: { status: 304, fields: { ETag: '"a"' } } }, then: { asks: 'something', saw: { 'x-who': 'a' }, status: 200 } }))
    ], 'RFC 9111 section 4.3.1')
  ]
}
