import { after, askedAgain, reused, says, stores } from './words.mjs'

const sends = directives => ({ send: { 'Cache-Control': directives } })
const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })

export default {
  topic: 'requests',
  stories: [
    story('only-if-cached-hit', 'RFC 9111 section 5.2.1.7', 'optional', 'only-if-cached is served what is stored', [
      stores('max-age=60'), { ...reused, ...sends('only-if-cached') }
    ]),
    story('only-if-cached-miss', 'RFC 9111 section 5.2.1.7', 'optional', 'only-if-cached gets 504 when there is nothing, and the origin is left alone', [
      { ...sends('only-if-cached'), then: { asks: 'nothing', status: 504 } }
    ]),
    story('only-if-cached-stale', 'RFC 9111 section 5.2.1.7', 'optional', 'also when there is only something stale', [
      stores('max-age=1'), after(2.5, { ...sends('only-if-cached'), then: { asks: 'nothing', status: 504 } })
    ]),
    story('no-cache-validates', 'RFC 9111 section 5.2.1.4', 'optional', 'no-cache is a question to the origin, not a second transfer', [
      stores('max-age=60', { ETag: '"a"' }),
      { ...sends('no-cache'), gives: { conditional: { status: 304, fields: { ETag: '"a"' } } }, then: { asks: 'conditionally', saw: { 'if-none-match': '"a"' }, status: 200, body: 'answer 1' } }
    ]),
    story('no-cache-replaces', 'RFC 9111 section 5.2.1.4', 'optional', 'and the new answer is stored in place of the old one', [
      stores('max-age=60'), { ...sends('no-cache'), gives: says('max-age=60'), then: { asks: 'something', body: 'answer 2' } }, { then: { asks: 'nothing', body: 'answer 2' } }
    ]),
    story('max-age-0', 'RFC 9111 section 5.2.1.1', 'optional', 'max-age=0 asks the origin', [stores('max-age=60'), after(1.2, { ...askedAgain, ...sends('max-age=0') })]),
    story('min-fresh', 'RFC 9111 section 5.2.1.3', 'optional', 'min-fresh wants more than is left', [stores('max-age=60'), { ...askedAgain, ...sends('min-fresh=120') }]),
    story('max-stale-any', 'RFC 9111 section 5.2.1.2', 'optional', 'max-stale takes what is stale', [
      stores('max-age=1'), after(2.5, { ...reused, ...sends('max-stale') })
    ]),
    story('max-stale-exceeded', 'RFC 9111 section 5.2.1.2', 'required', 'but no staler than it says', [
      stores('max-age=1'), after(3.5, { ...askedAgain, ...sends('max-stale=1') })
    ]),
    story('max-stale-forbidden', 'RFC 9111 section 5.2.2.2', 'required', 'and never against must-revalidate', [
      stores('max-age=1, must-revalidate'), after(2.5, { ...askedAgain, ...sends('max-stale=60') })
    ]),
    story('max-stale-forbidden-shared', 'RFC 9111 section 5.2.2.8', 'required', 'nor against proxy-revalidate', [
      stores('max-age=1, proxy-revalidate'), after(2.5, { ...askedAgain, ...sends('max-stale=60') })
    ]),
    story('pragma-no-cache', 'RFC 9111 section 5.4', 'optional', 'Pragma: no-cache is no-cache when nothing newer is said', [
      stores('max-age=60'), { ...askedAgain, send: { Pragma: 'no-cache' } }
    ]),
    story('pragma-outweighed', 'RFC 9111 section 5.4', 'optional', 'and nothing when Cache-Control is there', [
      stores('max-age=60'), { ...reused, send: { Pragma: 'no-cache', 'Cache-Control': 'max-age=60' } }
    ]),
    story('head-from-get', 'RFC 9111 section 4', 'optional', 'HEAD is answered from what GET stored', [
      stores('max-age=60'), { ask: 'HEAD', then: { asks: 'nothing', status: 200, body: '', fields: { 'content-length': '8' } } }
    ]),
    story('head-not-for-get', 'RFC 9110 section 9.3.2', 'required', 'GET is not answered from what HEAD left', [
      { ask: 'HEAD', gives: says('max-age=60'), then: { body: '' } }, { gives: says('max-age=60'), then: { asks: 'something', body: 'answer 2' } }
    ]),
    story('head-refreshes', 'RFC 9111 section 4.3.5', 'optional', 'HEAD with the same validator makes the stored response fresh again', [
      stores('max-age=1', { ETag: '"a"' }),
      after(2.5, { ask: 'HEAD', gives: says('max-age=60', { ETag: '"a"' }, { body: 'answer 1' }) }),
      { then: { asks: 'nothing', body: 'answer 1' } }
    ]),
    story('head-ages', 'RFC 9111 section 4.3.5', 'optional', 'HEAD with another validator makes it stale', [
      stores('max-age=60', { ETag: '"a"' }),
      { ask: 'HEAD', ...sends('no-cache'), gives: says('max-age=60', { ETag: '"b"' }, { body: 'answer 2' }) },
      { gives: says('max-age=60', { ETag: '"b"' }), then: { asks: 'something', body: 'answer 3' } }
    ]),
    story('head-other-length', 'RFC 9111 section 4.3.5', 'optional', 'and so does HEAD with another length', [
      stores('max-age=60'),
      { ask: 'HEAD', ...sends('no-cache'), gives: says('max-age=60', {}, { body: 'longer than before' }) },
      { gives: says('max-age=60'), then: { asks: 'something', body: 'answer 3' } }
    ])
  ]
}
