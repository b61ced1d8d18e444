// All topics, in the order they are told.
//
// A story: { id, section, kind, says, restsOn, steps }
//   kind   required: a MUST of that section, or a promise of ours · optional: allowed or advised, and cheaper
//   step   ask 'GET' | 'POST place' (a place below the story's own), host, send (fields), body, wait (seconds before),
//          times (so many at once), goes (the origin of the host "gone" is gone from here on; one story has it),
//          gives (what the origin would answer; origin.mjs), then (what must hold; expect.mjs)

import ages from './ages.mjs'
import conditions from './conditions.mjs'
import freshening from './freshening.mjs'
import invalidation from './invalidation.mjs'
import ranges from './ranges.mjs'
import requests from './requests.mjs'
import stale from './stale.mjs'
import status from './status.mjs'
import storing from './storing.mjs'
import targeted from './targeted.mjs'
import together from './together.mjs'
import variants from './variants.mjs'

export default [
  storing, targeted, ages, requests, variants, conditions, freshening, ranges, invalidation, stale, together, status
]
