import { after, askedAgain, inSeconds, reused, says, stores } from './words.mjs'

const story = (id, section, kind, says, steps) => ({ id, section, kind, says, steps })

export default {
  topic: 'ages',
  stories: [
    story('age-counts-up', 'RFC 9111 section 5.1', 'required', 'a stored response says how old it is', [
      stores('max-age=60'), after(2.5, { then: { asks: 'nothing', fields: { age: /^[23]$/ } } })
    ]),
    story('age-adds-to-origins', 'RFC 9111 section 4.2.3', 'required', 'and counts what it was old when it came', [
      stores('max-age=600', { Age: '100' }), after(1.5, { then: { asks: 'nothing', fields: { age: /^10[123]$/ } } })
    ]),
    story('age-not-on-first-hand', 'RFC 9111 section 5.1', 'required', 'what comes straight from the origin has no Age of ours', [
      { gives: says('max-age=60'), then: { anyOf: [{ absent: ['age'] }, { fields: { age: '0' } }] } }
    ]),
    story('age-exceeds', 'RFC 9111 section 4.2', 'required', 'older than its lifetime when it came is stale', [
      stores('max-age=60', { Age: '61' }), askedAgain
    ]),
    story('age-overflows', 'RFC 9111 section 1.2.2', 'required', 'an age too big for a number is very old, not young', [
      stores('max-age=2147483647', { Age: '99999999999999999999' }), askedAgain
    ]),
    story('age-lifetime-overflows', 'RFC 9111 section 1.2.2', 'optional', 'a lifetime too big for a number is very long', [
      stores('max-age=99999999999999999999'), reused
    ]),
    story('age-list', 'RFC 9111 section 5.1', 'optional', 'of a list of ages the first counts', [
      stores('max-age=600', { Age: '100, 200' }), { then: { asks: 'nothing', fields: { age: /^10[012]$/ } } }
    ]),
    story('age-list-too-old', 'RFC 9111 section 5.1', 'required', 'also when it is the older one', [
      stores('max-age=60', { Age: '61, 0' }), askedAgain
    ]),
    story('date-long-past', 'RFC 9111 section 4.2.3', 'required', 'a Date before the lifetime began to run makes it old', [
      stores('max-age=60', { Date: inSeconds(-120) }), askedAgain
    ]),
    story('date-in-future', 'RFC 9111 section 4.2.3', 'optional', "an origin's fast clock makes nothing younger than new", [
      stores('max-age=60', { Date: inSeconds(120) }), { then: { asks: 'nothing', fields: { age: /^[01]$/ } } }
    ]),
    story('date-absent', 'RFC 9110 section 6.6.1', 'required', 'a response without Date gets one, and its age counts from there', [
      { gives: says('max-age=60', {}, { dateless: true }) },
      after(1.5, { then: { asks: 'nothing', fields: { date: / GMT$/, age: /^[123]$/ } } })
    ]),
    story('date-kept', 'RFC 9110 section 6.6.1', 'required', "the origin's Date stays as it was", [
      stores('max-age=60', { Date: 'Fri, 01 Jan 2100 00:00:00 GMT' }),
      { then: { asks: 'nothing', fields: { date: 'Fri, 01 Jan 2100 00:00:00 GMT' } } }
    ]),
    story('expires-against-date', 'RFC 9111 section 4.2.1', 'required', "Expires is held against the origin's Date, not against our clock", [
      { gives: { fields: { Date: inSeconds(3600), Expires: inSeconds(3601) } } }, after(2.5, askedAgain)
    ]),
    story('expires-twice', 'RFC 9111 section 4.2.1', 'optional', 'of two Expires the second is never the longer one that counts', [
      { gives: { fields: { Expires: ['Thu, 01 Jan 1970 00:00:00 GMT', 'Fri, 01 Jan 2100 00:00:00 GMT'] } } }, askedAgain
    ])
  ]
}
