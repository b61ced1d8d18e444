import { after, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })
const TOGETHER = 20

export default {
  topic: 'together',
  stories: [
    story('together-once', 'RFC 9111 section 4', 'optional', 'many ask for what is not there, and the origin is asked once', [
      { times: TOGETHER, gives: says('max-age=60', {}, { after: 300 }), then: { asks: 1, status: 200, body: 'answer 1' } }
    ]),
    story('together-private', 'RFC 9111 section 5.2.2.7', 'required', 'what is for one of them is for one of them', [
      { times: TOGETHER, gives: says('private, max-age=60', {}, { after: 300 }), then: { asks: TOGETHER, distinct: true } }
    ]),
    story('together-no-store', 'RFC 9111 section 5.2.2.5', 'required', 'and what must not be stored is asked for by each', [
      { times: TOGETHER, gives: says('no-store', {}, { after: 300 }), then: { asks: TOGETHER, distinct: true } }
    ]),
    story('together-cookie', 'RFC 6265 section 4.1', 'required', 'one visitor never gets the cookie of another', [
      { times: TOGETHER, gives: says('max-age=60', { 'Set-Cookie': 'session=a' }, { after: 300 }), then: { anyOf: [{ asks: TOGETHER, distinct: true }, { asks: 1, absent: ['set-cookie'] }] } }
    ]),
    story('together-authorized', 'RFC 9111 section 3.5', 'required', 'nor an answer to the credentials of another', [
      { times: TOGETHER, send: { Authorization: 'Basic YTpi' }, gives: says('max-age=60', {}, { after: 300 }), then: { asks: TOGETHER, distinct: true } }
    ]),
    story('together-post', 'RFC 9110 section 9.2.2', 'required', 'every POST arrives', [
      { ask: 'POST', body: 'a', times: TOGETHER, gives: says('max-age=60', {}, { after: 300 }), then: { asks: TOGETHER, distinct: true } }
    ]),
    story('together-revalidate', 'RFC 9111 section 4.3', 'optional', 'many ask for what is stale, and the origin is asked once', [
      stores('max-age=1, must-revalidate', { ETag: '"a"' }),
      after(2.5, { times: TOGETHER, gives: { conditional: { status: 304, after: 300, fields: { ETag: '"a"', 'Cache-Control': 'max-age=60' } } }, then: { asks: 1, status: 200, body: 'answer 1' } })
    ])
  ]
}
