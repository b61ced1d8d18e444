// A real Mangrove before one origin: its own state folder, free loopback ports, ended with everything it started.

import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { urlToHttpOptions } from 'node:url'

const UP_WITHIN = 30_000 // milliseconds until /readyz says ready
const REST_WITHIN = 20_000 // milliseconds until nothing is under way; the origins here are silent for less
const DOWN_WITHIN = 10_000 // milliseconds after each signal before the next, harder one
const LOOPBACK = '127.0.0.1'

/** One running Mangrove. Made by `start`, which waits until it answers. */
export class Edge {
  #process
  #output
  #pids

  /** Starts `mangrove serve` before `origin`, a URL, and `gone`, another. Throws with what it printed if it does not come up. */
  static async start (program, origin, gone = origin) {
    if (!existsSync(program)) throw new Error(`no program at ${program}`)
    const edge = new Edge()
    edge.folder = mkdtempSync(path.join(tmpdir(), 'mangrove-conformance-'))
    const [port, admin] = await freePorts(2)
    edge.base = `http://${LOOPBACK}:${port}`
    edge.admin = `http://${LOOPBACK}:${admin}`
    edge.port = port
    const config = path.join(edge.folder, 'mangrove.toml')
    const state = path.join(edge.folder, 'state')
    writeFileSync(config, settings({ http: `${LOOPBACK}:${port}`, admin: `${LOOPBACK}:${admin}`, state, origin, gone }))

    edge.#output = path.join(edge.folder, 'output')
    const sink = openSync(edge.#output, 'w')
    edge.#process = spawn(program, ['serve', '--config', config], { stdio: ['ignore', sink, sink] })
    closeSync(sink)
    edge.#process.on('error', () => {}) // told as "ended" by #ended
    process.once('exit', () => edge.#ended() || edge.#process.kill())
    try {
      await edge.#awaitReady()
      edge.#pids = children(edge.#process.pid).join()
    } catch (error) {
      await edge.end()
      throw error
    }
    return edge
  }

  /** The reasons Mangrove gave for what it refused or could not carry, as a function from a part of the path to them. */
  async reasons () {
    const refused = (await this.#records()).filter(({ reason }) => reason)
    return part => [...new Set(refused.filter(record => record['url.path']?.includes(part)).map(({ reason }) => reason))]
  }

  async #records () {
    const log = path.join(this.folder, 'state/log/access.ndjson')
    // Lines are written soon after an answer: the log is complete when it stops growing.
    let size = -1
    await until(() => {
      const before = size
      size = existsSync(log) ? statSync(log).size : 0
      return size === before
    }, 2000, 200)
    return size > 0 ? readFileSync(log, 'utf8').split('\n').filter(Boolean).map(line => JSON.parse(line)) : []
  }

  /** Kills the edge once it is at rest and the disk has everything; waits until another serves and knows all of the disk. */
  async replace () {
    const before = this.#pids
    // The disk is told of before what is under way is: an answer may end, and be handed to the disk, between the two.
    let looks = 0
    const rests = async () => {
      const cache = await this.#cache()
      const active = /^http_server_active_requests(?:{[^}]*})? (\d+)$/m.exec(await ask(`${this.admin}/metrics`))
      const rests = cache?.disk?.waiting_bytes === 0 && cache.fills.under_way === 0 && active?.[1] === '0'
      looks = rests ? looks + 1 : 0
      return looks === 2
    }
    if (!await until(rests, REST_WITHIN)) throw new Error('the edge does not come to rest')
    const edges = children(this.#process.pid)
    if (edges.join() !== before) throw new Error(`the edge was replaced during the run:\n${this.#printed()}`)
    for (const pid of edges) kill(pid)
    const another = async () => {
      this.#pids = children(this.#process.pid).join()
      if (!this.#pids || this.#pids === before) return false
      const cache = await this.#cache()
      return cache?.disk?.in_use && cache.disk.scan.over
    }
    if (!await until(another, UP_WITHIN)) throw new Error(`no other edge came up:\n${this.#printed()}`)
    if (!await until(async () => (await ask(`${this.admin}/readyz`)).startsWith('ready'), UP_WITHIN)) throw new Error('the other edge is not ready')
  }

  /** How many hits the log has, and how many of them came from the disk. */
  async hits () {
    const hits = (await this.#records()).filter(record => record['cache.result'] === 'hit' || record['cache.result'] === 'stale')
    return { all: hits.length, disk: hits.filter(record => record['cache.tier'] === 'disk').length }
  }

  /** What the newest edge says of its cache; null if there is none that says anything. */
  async #cache () {
    const folder = path.join(this.folder, 'state/edge')
    const numbers = readdirSync(folder).map(name => Number(/^edge-(\d+)\.sock$/.exec(name)?.[1] ?? 0))
    const text = await ask({ socketPath: path.join(folder, `edge-${Math.max(...numbers)}.sock`), path: '/cache' })
    try {
      return JSON.parse(text)
    } catch {
      return null
    }
  }

  /** Ends it politely, then less so, with the edge process it started; returns what was wrong about that, or null. */
  async end () {
    // An edge outlives its supervisor on purpose, so a supervisor that must be killed is no end of it.
    const edges = children(this.#process.pid)
    // What a cache held goes with its edge, so answers from before and after a restart say nothing together.
    const restarted = this.#pids !== undefined && edges.join() !== this.#pids
    let trouble = restarted ? `the edge was replaced during the run:\n${this.#printed()}` : null
    for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL']) {
      if (this.#ended()) break
      if (signal === 'SIGKILL') {
        trouble = 'Mangrove did not end when told to, and was killed'
        for (const pid of edges) kill(pid)
      }
      this.#process.kill(signal)
      await until(() => this.#ended(), DOWN_WITHIN)
    }
    if (!trouble && this.#process.exitCode !== 0) trouble = `Mangrove ended with ${this.#process.exitCode ?? this.#process.signalCode}`
    rmSync(this.folder, { recursive: true, force: true })
    return trouble
  }

  #printed () {
    return existsSync(this.#output) ? readFileSync(this.#output, 'utf8').slice(-2000) : ''
  }

  #ended () {
    return this.#process.pid === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null
  }

  async #awaitReady () {
    const ready = async () => this.#ended() || (await ask(`${this.admin}/readyz`)).startsWith('ready')
    if (!await until(ready, UP_WITHIN) || this.#ended()) throw new Error(`Mangrove did not come up:\n${this.#printed()}`)
  }
}

/** Serves `handle` on a free loopback port; an exception in it ends that connection, not the run. */
export async function serveOrigin (handle) {
  const server = http.createServer((request, response) => {
    try {
      handle(request, response)
    } catch (error) {
      console.error(`origin: ${error.message}`)
      request.socket.destroy()
    }
  })
  // Longer than Mangrove keeps connections: a POST must not meet one that is just being closed here.
  server.keepAliveTimeout = 120_000
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, LOOPBACK, resolve))
  return {
    url: `http://${LOOPBACK}:${server.address().port}`,
    end: () => { server.close(); server.closeAllConnections() }
  }
}

/** Asks `holds` every few milliseconds until it does, for at most `milliseconds`; returns whether it did. */
export async function until (holds, milliseconds, every = 20) {
  const deadline = performance.now() + milliseconds
  while (!await holds()) {
    if (performance.now() > deadline) return false
    await pause(every)
  }
  return true
}

function settings (values) {
  const template = readFileSync(new URL('mangrove.toml', import.meta.url), 'utf8')
  return template.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole)
}

// Below the range that outgoing connections are given, so that none of ours takes one before Mangrove does.
async function freePorts (count) {
  const ports = new Set()
  for (let tries = 0; ports.size < count && tries < 200; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 12_000)
    if (await isFree(port)) ports.add(port)
  }
  if (ports.size < count) throw new Error('no port is free')
  return [...ports]
}

function isFree (port) {
  const server = net.createServer()
  return new Promise(resolve => {
    server.once('error', () => resolve(false)).listen(port, LOOPBACK, () => server.close(() => resolve(true)))
  })
}

function ask (where) {
  return new Promise(resolve => {
    const options = typeof where === 'string' ? urlToHttpOptions(new URL(where)) : where
    const request = http.get({ ...options, timeout: 2000, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8').on('data', part => { text += part }).on('end', () => resolve(text))
    })
    request.on('timeout', () => request.destroy()).on('error', () => resolve(''))
  })
}

function children (pid) {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}

function kill (pid) {
  try {
    process.kill(pid, 'SIGKILL')
  } catch { /* it had ended by itself */ }
}
