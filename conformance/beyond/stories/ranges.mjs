import { DIGITS, OLD, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })
const ten = stores('max-age=60', { ETag: '"a"', 'Last-Modified': OLD, 'Content-Type': 'text/plain' }, { body: DIGITS })
const part = (range, from, to, fields = {}) => ({
  send: { Range: range, ...fields },
  then: { asks: 'nothing', status: 206, body: DIGITS.slice(from, to + 1), fields: { 'content-range': `bytes ${from}-${to}/10`, 'content-length': String(to - from + 1) } }
})
const all = send => ({ send, gives: says('max-age=60', {}, { body: DIGITS }), then: { status: 200, body: DIGITS, absent: ['content-range'] } })
const unsatisfiable = range => ({ send: { Range: range }, then: { asks: 'nothing', status: 416, fields: { 'content-range': 'bytes */10' } } })

export default {
  topic: 'ranges',
  stories: [
    story('range-first', 'RFC 9110 section 14.1.2', 'optional', 'first and last are both part of it', [ten, part('bytes=2-4', 2, 4)]),
    story('range-open', 'RFC 9110 section 14.1.2', 'optional', 'from here to the end', [ten, part('bytes=7-', 7, 9)]),
    story('range-suffix', 'RFC 9110 section 14.1.2', 'optional', 'the last so many', [ten, part('bytes=-3', 7, 9)]),
    story('range-suffix-too-long', 'RFC 9110 section 14.1.2', 'optional', 'the last so many, of fewer', [ten, part('bytes=-30', 0, 9)]),
    story('range-end-too-far', 'RFC 9110 section 14.1.2', 'optional', 'an end past the end is the end', [ten, part('bytes=8-99999999999999999999', 8, 9)]),
    story('range-unit-case', 'RFC 9110 section 14.1', 'optional', 'units have no case', [ten, part('Bytes=2-4', 2, 4)]),
    story('range-fields', 'RFC 9110 section 15.3.7', 'required', 'a part says what it is a part of', [
      ten, { send: { Range: 'bytes=2-4' }, then: { status: 206, fields: { etag: '"a"', 'cache-control': 'max-age=60', date: / GMT$/, 'content-type': 'text/plain', 'last-modified': OLD } } }
    ]),
    story('range-two', 'RFC 9110 section 14.6', 'optional', 'two parts come as multipart, in the order asked, each with its range', [
      ten, {
        send: { Range: 'bytes=0-1, -2' },
        then: {
          asks: 'nothing',
          status: 206,
          absent: ['content-range'],
          fields: { 'content-type': /^multipart\/byteranges; ?boundary=/ },
          body: /^(\r\n)?--(\S+)\r\n(?=(.+\r\n)*content-range: bytes 0-1\/10\r\n)(.+\r\n)+\r\n01\r\n--\2\r\n(?=(.+\r\n)*content-range: bytes 8-9\/10\r\n)(.+\r\n)+\r\n89\r\n--\2--/i
        }
      }
    ]),
    story('range-two-one-beyond', 'RFC 9110 section 14.1.2', 'optional', 'of two, the one that cannot be is left out', [
      ten, { send: { Range: 'bytes=20-30, 2-4' }, then: { asks: 'nothing', status: 206, body: /234/ } }
    ]),
    story('range-many', 'RFC 9110 section 14.2', 'required', 'a flood of overlapping parts is not answered as asked', [
      ten, { send: { Range: `bytes=${Array(200).fill('0-').join()}` }, then: { body: /^[^]{0,600}$/ } }
    ]),
    story('range-beyond', 'RFC 9110 section 15.5.17', 'optional', 'beyond the end there is nothing, and the answer says how much there is', [ten, unsatisfiable('bytes=10-20')]),
    story('range-suffix-zero', 'RFC 9110 section 14.1.2', 'optional', 'the last nothing cannot be had', [ten, unsatisfiable('bytes=-0')]),
    story('range-other-unit', 'RFC 9110 section 14.2', 'required', 'a unit that nobody knows asks for the whole', [ten, all({ Range: 'lines=1-2' })]),
    story('range-backwards', 'RFC 9110 section 14.1.1', 'optional', 'a range that ends before it begins asks for the whole', [ten, all({ Range: 'bytes=4-2' })]),
    story('range-malformed', 'RFC 9110 section 14.2', 'optional', 'and so does one that cannot be read', [ten, all({ Range: 'bytes=a-b' })]),
    story('range-head', 'RFC 9110 section 14.2', 'required', 'Range is for GET', [
      ten, { ask: 'HEAD', send: { Range: 'bytes=2-4' }, gives: { body: DIGITS }, then: { status: 200, fields: { 'content-length': '10' }, absent: ['content-range'] } }
    ]),
    story('range-not-modified', 'RFC 9110 section 13.2.2', 'required', 'a condition that fails comes before the range', [
      ten, { send: { Range: 'bytes=2-4', 'If-None-Match': '"a"' }, gives: { conditional: { status: 304, fields: { ETag: '"a"' } } }, then: { status: 304, body: '' } }
    ]),
    story('if-range-same', 'RFC 9110 section 13.1.5', 'optional', 'the part, if it is still the same', [ten, part('bytes=2-4', 2, 4, { 'If-Range': '"a"' })]),
    story('if-range-other', 'RFC 9110 section 13.1.5', 'required', 'else the whole', [ten, all({ Range: 'bytes=2-4', 'If-Range': '"b"' })]),
    story('if-range-weak', 'RFC 9110 section 13.1.5', 'required', 'weakly the same is not the same', [
      stores('max-age=60', { ETag: 'W/"a"' }, { body: DIGITS }), all({ Range: 'bytes=2-4', 'If-Range': 'W/"a"' })
    ]),
    story('if-range-date', 'RFC 9110 section 13.1.5', 'optional', 'an exact date that is long past will do', [
      stores('max-age=60', { 'Last-Modified': OLD }, { body: DIGITS }), part('bytes=2-4', 2, 4, { 'If-Range': OLD })
    ]),
    story('if-range-later-date', 'RFC 9110 section 13.1.5', 'required', 'a later date will not: it must be exact', [
      ten, all({ Range: 'bytes=2-4', 'If-Range': 'Thu, 02 Jan 2020 00:00:00 GMT' })
    ]),
    story('if-range-alone', 'RFC 9110 section 13.1.5', 'required', 'without Range it means nothing', [ten, all({ 'If-Range': '"a"' })])
  ]
}
