import { OLD, OLDER, inSeconds, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })
const kept = stores('max-age=60', { ETag: '"a"', 'Last-Modified': OLD })
const notModified = { then: { asks: 'nothing', status: 304, body: '' } }
const whole = { then: { asks: 'nothing', status: 200, body: 'answer 1' } }
const asking = (fields, step) => ({ ...step, send: fields })

export default {
  topic: 'conditions',
  stories: [
    story('inm-list', 'RFC 9110 section 13.1.2', 'optional', 'one of several tags will do', [kept, asking({ 'If-None-Match': '"x", W/"a" , "z"' }, notModified)]),
    story('inm-comma-in-tag', 'RFC 9110 section 8.8.3', 'required', 'a comma within a tag parts no tags', [
      stores('max-age=60', { ETag: '"b"' }), asking({ 'If-None-Match': '"a,"b"' }, { then: { anyOf: [{ status: 200 }, { asks: 'something' }] } })
    ]),
    story('inm-tag-with-comma', 'RFC 9110 section 8.8.3', 'optional', 'and a tag with a comma is one tag', [
      stores('max-age=60', { ETag: '"a,b"' }), asking({ 'If-None-Match': '"x", "a,b"' }, notModified)
    ]),
    story('inm-star', 'RFC 9111 section 4.3.2', 'optional', 'a star matches whatever is stored', [kept, asking({ 'If-None-Match': '*' }, notModified)]),
    story('inm-weak', 'RFC 9110 section 8.8.3.2', 'optional', 'tags are compared weakly', [
      stores('max-age=60', { ETag: 'W/"a"' }), asking({ 'If-None-Match': '"a"' }, notModified)
    ]),
    story('inm-differs', 'RFC 9110 section 13.1.2', 'optional', 'another tag gets the response', [kept, asking({ 'If-None-Match': '"x"' }, whole)]),
    story('inm-before-ims', 'RFC 9111 section 4.3.2', 'required', 'If-Modified-Since does not count beside If-None-Match', [
      kept, asking({ 'If-None-Match': '"x"', 'If-Modified-Since': OLD }, { then: { status: 200 } })
    ]),
    story('inm-head', 'RFC 9110 section 13.1.2', 'optional', 'HEAD has conditions, too', [kept, { ...asking({ 'If-None-Match': '"a"' }, notModified), ask: 'HEAD' }]),
    story('inm-on-404', 'RFC 9110 section 13.2.1', 'required', 'a stored 404 has no conditions', [
      stores('max-age=60', { ETag: '"a"' }, { status: 404 }), asking({ 'If-None-Match': '"a"' }, { gives: says('max-age=60', { ETag: '"a"' }, { status: 404 }), then: { status: 404 } })
    ]),
    story('ims-later', 'RFC 9111 section 4.3.2', 'optional', 'unchanged since a later date', [
      stores('max-age=60', { 'Last-Modified': OLDER }), asking({ 'If-Modified-Since': OLD }, notModified)
    ]),
    story('ims-earlier', 'RFC 9111 section 4.3.2', 'required', 'changed since an earlier one', [
      stores('max-age=60', { 'Last-Modified': OLD }), asking({ 'If-Modified-Since': OLDER }, { then: { status: 200 } })
    ]),
    story('ims-invalid', 'RFC 9110 section 13.1.3', 'required', 'since when cannot be read: no condition', [
      stores('max-age=60', { 'Last-Modified': OLD }), asking({ 'If-Modified-Since': 'yesterday' }, { then: { status: 200 } })
    ]),
    story('ims-against-date', 'RFC 9111 section 4.3.2', 'optional', 'without Last-Modified, Date is when it changed', [
      stores('max-age=60', { Date: inSeconds(-30) }), asking({ 'If-Modified-Since': 'Fri, 01 Jan 2100 00:00:00 GMT' }, notModified)
    ]),
    story('304-fields', 'RFC 9110 section 15.4.5', 'required', 'a 304 carries what a cache behind this one needs, and nothing of the content', [
      stores('max-age=60', { ETag: '"a"', 'Content-Location': '/b', Vary: 'X-Who', Expires: 'Fri, 01 Jan 2100 00:00:00 GMT', 'Content-Type': 'text/plain' }),
      asking({ 'If-None-Match': '"a"' }, {
        then: {
          asks: 'nothing',
          status: 304,
          fields: { etag: '"a"', 'content-location': '/b', vary: 'X-Who', expires: 'Fri, 01 Jan 2100 00:00:00 GMT', 'cache-control': 'max-age=60', date: / GMT$/ },
          absent: ['content-encoding', 'transfer-encoding']
        }
      })
    ])
  ]
}
