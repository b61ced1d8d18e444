import { OLD, after, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })
const unchanged = fields => ({ gives: { conditional: { status: 304, fields } } })
const refreshed = { asks: 'conditionally', status: 200, body: 'answer 1' }
const later = (step, then = {}) => after(2.5, { ...step, then: { ...refreshed, ...then } })
const hit = then => ({ then: { asks: 'nothing', status: 200, body: 'answer 1', ...then } })

export default {
  topic: 'freshening',
  stories: [
    story('304-makes-fresh', 'RFC 9111 section 4.3.4', 'optional', 'a 304 makes a response fresh again', [
      stores('max-age=1', { ETag: '"a"' }), later(unchanged({ ETag: '"a"', 'Cache-Control': 'max-age=60' })), hit({ fields: { 'cache-control': 'max-age=60' } })
    ]),
    story('304-every-field', 'RFC 9111 section 3.2', 'required', 'its fields replace those of the same name, whole, and no others', [
      stores('max-age=1', { ETag: '"a"', 'X-New': '1', 'X-Two': ['1', '2'], 'X-Stays': '1', Link: '</a>', 'Last-Modified': OLD, Expires: '0', Vary: 'X-Who' }),
      later(
        unchanged({ ETag: '"a"', 'Cache-Control': 'max-age=60', 'X-New': '2', 'X-Two': '3', 'X-Also': '1', Link: '</b>', Expires: 'Fri, 01 Jan 2100 00:00:00 GMT' }),
        { fields: { 'x-new': '2', 'x-two': '3', 'x-stays': '1', 'x-also': '1', link: '</b>' } }
      ),
      hit({ fields: { 'x-new': '2', 'x-two': '3', 'x-stays': '1', 'x-also': '1', link: '</b>', expires: /2100/, 'last-modified': OLD } })
    ]),
    story('304-not-length', 'RFC 9111 section 3.2', 'required', 'except Content-Length', [
      stores('max-age=1', { ETag: '"a"' }), later(unchanged({ ETag: '"a"', 'Content-Length': '3', 'Cache-Control': 'max-age=60' }), { fields: { 'content-length': '8' } }), hit({ fields: { 'content-length': '8' } })
    ]),
    story('304-not-connection-listed', 'RFC 9111 section 3.1', 'required', 'and what is for one connection', [
      stores('max-age=1', { ETag: '"a"', 'X-Hop': '1' }), later(unchanged({ ETag: '"a"', Connection: 'x-hop, keep-alive', 'X-Hop': '2' }), { fields: { 'x-hop': '1' } })
    ]),
    story('304-age-anew', 'RFC 9111 section 4.2.3', 'required', 'age counts from the 304', [
      stores('max-age=1', { ETag: '"a"' }), later(unchanged({ ETag: '"a"', 'Cache-Control': 'max-age=60' })), hit({ fields: { age: /^[01]$/ } })
    ]),
    story('304-no-store', 'RFC 9111 section 5.2.2.5', 'required', 'a 304 that forbids storing is not stored either', [
      stores('max-age=1', { ETag: '"a"' }), later(unchanged({ ETag: '"a"', 'Cache-Control': 'no-store' })), { gives: says('no-store'), then: { asks: 'something' } }
    ]),
    story('304-by-date', 'RFC 9111 section 4.3.1', 'optional', 'Last-Modified validates when there is no tag', [
      stores('max-age=1', { 'Last-Modified': OLD }), later(unchanged({ 'Last-Modified': OLD, 'Cache-Control': 'max-age=60' }), { saw: { 'if-modified-since': OLD } }), hit()
    ]),
    story('304-both', 'RFC 9111 section 4.3.1', 'required', 'a tag is always asked about when there is one', [
      stores('max-age=1', { ETag: '"a"', 'Last-Modified': OLD }), later(unchanged({ ETag: '"a"' }), { saw: { 'if-none-match': '"a"' } })
    ]),
    story('304-weak', 'RFC 9111 section 4.3.4', 'optional', 'a weak tag validates as well', [
      stores('max-age=1', { ETag: 'W/"a"' }), later(unchanged({ ETag: 'W/"a"', 'Cache-Control': 'max-age=60' }), { saw: { 'if-none-match': 'W/"a"' } }), hit()
    ]),
    story('304-another-tag', 'RFC 9111 section 4.3.4', 'required', 'a 304 with another strong tag does not refresh this response', [
      stores('max-age=1', { ETag: '"a"' }),
      after(2.5, { ...unchanged({ ETag: '"b"', 'Cache-Control': 'max-age=60' }), then: { asks: 'something' } }),
      { gives: says('max-age=60', { ETag: '"b"' }), then: { asks: 'something' } }
    ]),
    story('304-for-condition-of-client', 'RFC 9111 section 4.3.3', 'optional', 'a client that asked with the same tag gets the 304', [
      stores('max-age=1', { ETag: '"a"' }), later({ ...unchanged({ ETag: '"a"' }), send: { 'If-None-Match': '"a"' } }, { status: 304, body: '' })
    ]),
    story('200-replaces', 'RFC 9111 section 4.3.3', 'required', 'a full answer replaces the stored one', [
      stores('max-age=1', { ETag: '"a"' }),
      after(2.5, { gives: says('max-age=60', { ETag: '"b"' }), then: { asks: 'conditionally', status: 200, body: 'answer 2' } }),
      { then: { asks: 'nothing', body: 'answer 2' } }
    ]),
    story('no-cache-each-time', 'RFC 9111 section 5.2.2.4', 'required', 'no-cache asks each time, and stores all the same', [
      stores('no-cache, max-age=60', { ETag: '"a"' }),
      { ...unchanged({ ETag: '"a"' }), then: refreshed },
      { ...unchanged({ ETag: '"a"' }), then: refreshed }
    ]),
    story('immutable-stale', 'RFC 8246 section 2', 'required', 'immutable lasts as long as freshness', [
      stores('max-age=1, immutable', { ETag: '"a"' }), later(unchanged({ ETag: '"a"' }))
    ])
  ]
}
