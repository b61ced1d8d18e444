import { after, askedAgain, reused, stores } from './words.mjs'

const cdn = value => ({ 'CDN-Cache-Control': value })
const story = (id, kind, says, steps, section = 'RFC 9213 section 2.2') => ({ id, section, kind, says, steps })

export default {
  topic: 'targeted',
  stories: [
    story('targeted-over-no-store', 'optional', 'the targeted field decides, and Cache-Control is for others', [
      stores('no-store', cdn('max-age=60')), reused
    ]),
    story('targeted-over-expires', 'optional', 'Expires does not count beside it', [
      stores('no-cache', { ...cdn('max-age=60'), Expires: '0' }), reused
    ]),
    story('targeted-shorter', 'required', 'a shorter lifetime in it is obeyed', [
      stores('max-age=3600', cdn('max-age=1')), after(2.5, askedAgain)
    ]),
    story('targeted-no-store', 'required', 'no-store in it is obeyed', [stores('max-age=3600', cdn('no-store')), askedAgain]),
    story('targeted-private', 'required', 'private in it is obeyed', [stores('max-age=3600', cdn('private')), askedAgain]),
    story('targeted-no-cache', 'required', 'no-cache in it means asking first', [
      stores('max-age=3600', { ...cdn('no-cache'), ETag: '"a"' }), { then: { asks: 'something' } }
    ]),
    story('targeted-s-maxage', 'optional', 's-maxage in it outweighs its max-age', [
      stores('no-store', cdn('max-age=1, s-maxage=60')), after(2.5, reused)
    ]),
    story('targeted-parameters', 'optional', 'parameters of its members are passed over', [
      stores('no-store', cdn('max-age=60;why="so"')), reused
    ], 'RFC 9213 section 2.1'),
    story('targeted-unknown-directive', 'optional', 'directives in it that nobody knows are passed over', [
      stores('no-store', cdn('max-age=60, whatever=?1, list=(a b)')), reused
    ], 'RFC 9213 section 2.1'),
    story('targeted-invalid', 'required', 'one that does not parse is as if it were not there', [
      stores('no-store', cdn('max-age=60,,')), askedAgain
    ], 'RFC 9213 section 2.1'),
    story('targeted-invalid-fallback', 'optional', 'and Cache-Control decides again', [
      stores('max-age=60', cdn('no-store,')), reused
    ], 'RFC 9213 section 2.1'),
    story('targeted-upper-case', 'required', 'its keys are lower-case; Max-Age does not parse', [
      stores('no-store', cdn('Max-Age=60')), askedAgain
    ], 'RFC 9213 section 2.1, RFC 9651 section 3.1.2'),
    story('targeted-empty', 'required', 'an empty one is as if it were not there', [
      stores('no-store', cdn('')), askedAgain
    ], 'RFC 9213 section 2.1'),
    story('targeted-two-lines', 'required', 'over two lines it is one dictionary, and the last value of a key counts', [
      stores('max-age=3600', cdn(['max-age=3600', 'max-age=1'])), after(2.5, askedAgain)
    ], 'RFC 9213 section 2.1, RFC 9651 section 3.2'),
    story('targeted-for-others', 'required', 'one that targets other caches is not for this one', [
      stores('no-store', { 'Other-Cache-Control': 'max-age=60' }), askedAgain
    ]),
    story('targeted-own-first', 'required', 'the nearer target comes first', [
      stores('max-age=3600', { ...cdn('max-age=3600'), 'Mangrove-Cache-Control': 'no-store' }), askedAgain
    ]),
    story('targeted-own-allows', 'optional', 'also when it allows more', [
      stores('no-store', { ...cdn('no-store'), 'Mangrove-Cache-Control': 'max-age=60' }), reused
    ])
  ]
}
