import { after, says, stores } from './words.mjs'

const story = (id, says, steps, section = 'RFC 9211 section 2') => ({ id, section, kind: 'optional', says, steps })
const telling = (cacheStatus, step) => ({ ...step, then: { ...step.then, cacheStatus } })
const stored = stores('max-age=60')
const hit = { then: { asks: 'nothing' } }

export default {
  topic: 'status',
  stories: [
    story('status-miss', 'a miss says that nothing was there, and that it is now', [telling({ hit: undefined, fwd: /^(uri-)?miss$/, stored: true }, stored)], 'RFC 9211 section 2.2'),
    story('status-hit', 'a hit says how long it lasts', [stored, telling({ hit: true, fwd: undefined, ttl: /^(60|59|58)$/ }, hit)], 'RFC 9211 sections 2.1 and 2.4'),
    story('status-not-stored', 'what is not stored does not say it is', [telling({ fwd: /miss/, stored: /^(undefined|\?0)$/ }, { gives: says('no-store') })], 'RFC 9211 section 2.5'),
    story('status-why-not', 'and says why', [telling({ detail: /./ }, { gives: says('private') })], 'RFC 9211 section 2.8'),
    story('status-stale', 'a revalidation says so, and how it went', [
      stores('max-age=1', { ETag: '"a"' }),
      after(2.5, telling({ fwd: 'stale', 'fwd-status': '304' }, { gives: { conditional: { status: 304, fields: { ETag: '"a"' } } } }))
    ], 'RFC 9211 sections 2.2 and 2.3'),
    story('status-stale-hit', 'a stale hit has run out', [
      stores('max-age=1, stale-while-revalidate=60'),
      after(2.5, telling({ hit: true, ttl: /^-[12]$/ }, { gives: says('max-age=60') }))
    ], 'RFC 9211 section 2.4'),
    story('status-variant', 'a variant that is not there is another miss', [
      { ...stores('max-age=60', { Vary: 'X-Who' }), send: { 'X-Who': 'a' } },
      telling({ fwd: 'vary-miss' }, { send: { 'X-Who': 'b' }, gives: says('max-age=60', { Vary: 'X-Who' }) })
    ], 'RFC 9211 section 2.2'),
    story('status-method', 'a method that is never answered here', [telling({ fwd: 'method' }, { ask: 'POST', body: 'a', gives: {} })], 'RFC 9211 section 2.2'),
    story('status-request', 'a request that wants the origin', [stored, telling({ fwd: 'request' }, { send: { 'Cache-Control': 'no-cache' }, gives: says('max-age=60') })], 'RFC 9211 section 2.2'),
    story('status-304', 'a 304 from here is a hit', [
      stores('max-age=60', { ETag: '"a"' }), telling({ hit: true }, { send: { 'If-None-Match': '"a"' }, then: { status: 304 } })
    ], 'RFC 9211 section 2.1'),
    story('status-part', 'and so is a part from here', [stored, telling({ hit: true }, { send: { Range: 'bytes=0-1' }, then: { status: 206 } })], 'RFC 9211 section 2.1'),
    story('status-only-if-cached', 'also a 504 of ours says why', [telling({ hit: undefined }, { send: { 'Cache-Control': 'only-if-cached' }, then: { status: 504 } })]),
    story('status-after-origins', "the origin's own cache spoke first", [
      { gives: says('max-age=60', { 'Cache-Status': 'inner; hit' }), then: { fields: { 'cache-status': /^inner ?; ?hit, ?mangrove/ } } }
    ]),
    story('status-collapsed', 'one who waited for another says so', [
      { times: 2, gives: says('max-age=60', {}, { after: 300 }), then: { asks: 1, some: { cacheStatus: { collapsed: true } } } }
    ], 'RFC 9211 section 2.6')
  ]
}
