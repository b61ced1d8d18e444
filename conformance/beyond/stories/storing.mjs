import { OLD, after, askedAgain, reused, says, stores } from './words.mjs'

const qualified = (id, directive, section) => ({
  id,
  section,
  kind: 'required',
  says: `a field named in ${directive} is not reused without asking`,
  steps: [
    stores(`max-age=60, ${directive}`, { 'X-Secret': 'yours', 'X-Open': 'all' }),
    { gives: says('max-age=60'), then: { anyOf: [{ asks: 'something' }, { asks: 'nothing', absent: ['x-secret'], fields: { 'x-open': 'all' } }] } }
  ]
})

export default {
  topic: 'storing',
  stories: [
    {
      id: 'store-fresh',
      section: 'RFC 9111 section 4',
      kind: 'optional',
      says: 'a fresh response is reused',
      steps: [stores('max-age=60'), reused]
    },
    {
      id: 'store-not-for-no-store-request',
      section: 'RFC 9111 section 5.2.1.5',
      kind: 'required',
      says: 'the response to a request with no-store is not stored',
      steps: [{ send: { 'Cache-Control': 'no-store' }, gives: says('max-age=60') }, askedAgain]
    },
    {
      id: 'store-not-authorized',
      section: 'RFC 9111 section 3.5',
      kind: 'required',
      says: 'a response to Authorization is not reused without leave, not even for the same credentials',
      steps: [
        { send: { Authorization: 'Basic YTpi' }, gives: says('max-age=60') },
        { ...askedAgain, send: { Authorization: 'Basic YTpi' } }
      ]
    },
    {
      id: 'store-not-post',
      section: 'RFC 9110 section 9.3.3',
      kind: 'required',
      says: 'a response to POST without Content-Location says nothing of the target',
      steps: [{ ask: 'POST', body: 'a', gives: says('max-age=60') }, askedAgain]
    },
    {
      id: 'store-not-cut-short',
      section: 'RFC 9111 section 3.3',
      kind: 'required',
      says: 'a response that ended before its length is passed for complete neither at once nor later',
      steps: [{ gives: { fault: 'cut in body' }, then: { anyOf: [{ whole: false }, { status: 502 }] } }, { gives: says('max-age=60'), then: { asks: 'something', body: 'answer 2', whole: true } }]
    },
    {
      id: 'store-not-cut-chunk',
      section: 'RFC 9112 section 8',
      kind: 'required',
      says: 'the same for one that ended within a chunk',
      steps: [{ gives: { fault: 'cut in chunk' }, then: { anyOf: [{ whole: false }, { status: 502 }] } }, { gives: says('max-age=60'), then: { asks: 'something', body: 'answer 2', whole: true } }]
    },
    {
      id: 'store-not-part-for-whole',
      section: 'RFC 9111 section 3.3',
      kind: 'required',
      says: 'a part is never the answer for the whole',
      steps: [
        { send: { Range: 'bytes=0-3' }, gives: { status: 206, body: '0123', fields: { 'Cache-Control': 'max-age=60', 'Content-Range': 'bytes 0-3/10', ETag: '"a"' } }, then: { status: 206 } },
        { gives: says('max-age=60', { ETag: '"b"' }, { body: '0123456789' }), then: { asks: 'something', status: 200, body: '0123456789' } }
      ]
    },
    {
      id: 'store-heuristically',
      section: 'RFC 9111 section 4.2.2',
      kind: 'optional',
      says: 'what has not changed for years will do for another moment',
      steps: [{ gives: { fields: { 'Last-Modified': OLD } } }, reused]
    },
    {
      id: 'store-understood',
      section: 'RFC 9111 section 5.2.2.3',
      kind: 'optional',
      says: 'must-understand sets no-store aside for a status that is understood',
      steps: [stores('max-age=60, must-understand, no-store'), reused]
    },
    {
      id: 'store-not-understood',
      section: 'RFC 9111 section 5.2.2.3',
      kind: 'required',
      says: 'must-understand forbids storing a status that is not understood',
      steps: [{ gives: says('max-age=60, must-understand', {}, { status: 299 }) }, { gives: {}, then: { asks: 'something' } }]
    },
    {
      id: 'store-comma-in-quotes',
      section: 'RFC 9111 section 5.2',
      kind: 'optional',
      says: 'what stands in quotes is no directive',
      steps: [stores('ext="a, no-store", max-age=60'), reused]
    },
    {
      id: 'store-not-s-maxage-0',
      section: 'RFC 9111 section 5.2.2.10',
      kind: 'required',
      says: 's-maxage=0 outweighs max-age in a shared cache',
      steps: [stores('max-age=60, s-maxage=0'), askedAgain]
    },
    {
      id: 'store-invalid-max-age',
      section: 'RFC 9111 section 4.2.1',
      kind: 'optional',
      says: 'a max-age that is no number makes a response stale, whatever Expires says',
      steps: [stores('max-age=soon', { Expires: 'Fri, 01 Jan 2100 00:00:00 GMT' }), askedAgain]
    },
    {
      id: 'store-two-max-ages',
      section: 'RFC 9111 section 4.2.1',
      kind: 'optional',
      says: 'of two max-ages the second is never the longer one that counts',
      steps: [stores('max-age=1, max-age=60'), after(2.5, askedAgain)]
    },
    {
      id: 'store-pragma-in-response',
      section: 'RFC 9111 section 5.4',
      kind: 'optional',
      says: 'Pragma in a response means nothing',
      steps: [stores('max-age=60', { Pragma: 'no-cache' }), reused]
    },
    {
      id: 'store-not-connection-listed',
      section: 'RFC 9111 section 3.1',
      kind: 'required',
      says: 'a field that Connection names is for one connection',
      steps: [stores('max-age=60', { Connection: 'x-hop, keep-alive', 'X-Hop': '1' }), { then: { absent: ['x-hop'] } }]
    },
    qualified('qualified-no-cache', 'no-cache="x-secret"', 'RFC 9111 section 5.2.2.4'),
    qualified('qualified-no-cache-case', 'no-cache="X-SECRET"', 'RFC 9111 section 5.2.2.4'),
    qualified('qualified-no-cache-bare', 'no-cache=x-secret', 'RFC 9111 section 5.2.2.4'),
    qualified('qualified-private', 'private="x-secret"', 'RFC 9111 section 5.2.2.7'),
    qualified('qualified-private-two', 'private="x-other, x-secret"', 'RFC 9111 section 5.2.2.7')
  ]
}
