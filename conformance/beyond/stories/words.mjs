// Words that many stories use.

export const OLD = 'Wed, 01 Jan 2020 00:00:00 GMT'
export const OLDER = 'Tue, 01 Jan 2019 00:00:00 GMT'

/** An HTTP date so many seconds from when it is sent; a function, for it is not known before. */
export const inSeconds = seconds => () => new Date(Date.now() + seconds * 1000).toUTCString()

/** A response with these Cache-Control directives, and other fields. */
export const says = (directives, fields = {}, rest = {}) => ({ fields: { 'Cache-Control': directives, ...fields }, ...rest })

/** The first step of most stories: nothing is stored yet, so the origin answers. */
export const stores = (directives, fields, rest) => ({ gives: says(directives, fields, rest), then: { asks: 'plainly' } })

/** A step that is answered without the origin, with what it said first. */
export const reused = { then: { asks: 'nothing', status: 200, body: 'answer 1' } }

/** A step for which the origin must be asked, and says something new. */
export const askedAgain = { gives: {}, then: { asks: 'something', body: 'answer 2' } }

/** The same after so many seconds. */
export const after = (wait, step) => ({ ...step, wait })

export const DIGITS = '0123456789'
