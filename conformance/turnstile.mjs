// Hits from the disk alone: between two requests of one test the edge is killed, and another begins with what is on the disk.

import { setTimeout as pause } from 'node:timers/promises'

const GATHER = 100 // milliseconds from when somebody wants another edge until it is made, so that others want it too

/** Lets the requests of a test pass one by one, each to another edge than the one before. Nothing passes while edges change. */
export class Turnstile {
  #edge
  #turns = 0
  #under = 0
  #last = new Map()
  #turning = null
  #closed = null

  constructor (edge) {
    this.#edge = edge
  }

  /** How many edges there were after the first. */
  get turns () {
    return this.#turns
  }

  /** Asks what `ask` asks for the test `id`; for none, of any edge. */
  async pass (id, ask) {
    while (this.#closed || (id !== null && this.#last.get(id) === this.#turns)) {
      await (this.#closed ?? this.#turn())
    }
    this.#under++
    try {
      return await ask()
    } finally {
      this.#under--
      if (id !== null) this.#last.set(id, this.#turns)
    }
  }

  #turn () {
    this.#turning ??= (async () => {
      await pause(GATHER)
      this.#closed = this.#turning
      try {
        while (this.#under > 0) await pause(5)
        await this.#edge.replace()
        this.#turns++
      } finally {
        this.#turning = this.#closed = null
      }
    })()
    return this.#turning
  }
}

/** Without `fromDisk`, what lets everything pass. */
export function turnstile (edge, fromDisk) {
  return fromDisk ? new Turnstile(edge) : { turns: 0, pass: (id, ask) => ask() }
}

/** `expectations` with what is otherwise where every hit comes from the disk: entries take the place of those with their id. */
export function fromDisk (expectations, otherwise) {
  const merged = { ...expectations }
  for (const list of ['notPassed', 'answers']) {
    const ids = new Set(otherwise[list].map(({ id }) => id))
    const passes = new Set(otherwise.passed.map(({ id }) => id))
    merged[list] = [...expectations[list].filter(({ id }) => !ids.has(id) && !passes.has(id)), ...otherwise[list]]
  }
  return merged
}
