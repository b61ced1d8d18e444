// The origin of our own stories: it plays what the step under way says, and writes down what it was asked.

const SILENCE = 20_000 // milliseconds; longer than anyone waits for the origin here

// How an origin can fail, by name.
const FAULTS = {
  cut: (request) => request.socket.destroy(),
  'cut in head': (request) => request.socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
  'cut in body': (request) => request.socket.end('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 100\r\n\r\nhalf of it'),
  'cut in chunk': (request) => request.socket.end('HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf of it'),
  'not HTTP': (request) => request.socket.end('220 mail.example ESMTP\r\n'),
  silence: (request) => setTimeout(() => request.socket.destroy(), SILENCE).unref()
}

/** Parts for stories to play: `play(id)` begins one, `handle` is what a server gives its requests to. */
export class Stage {
  #parts = new Map()

  play (id) {
    const part = { asked: [], gives: {} }
    this.#parts.set(id, part)
    return part
  }

  handle = (request, response) => {
    const part = this.#parts.get(request.url.split(/[/?]/)[1])
    request.resume()
    if (!part) {
      response.statusCode = 404
      response.end()
      return
    }
    const conditional = 'if-none-match' in request.headers || 'if-modified-since' in request.headers
    part.asked.push({ method: request.method, url: request.url, fields: request.headers, conditional })
    const { gives } = part
    answer(request, response, conditional && gives.conditional ? gives.conditional : gives, part.asked.length)
  }
}

function answer (request, response, gives, number) {
  if (gives.fault) return FAULTS[gives.fault](request)
  response.statusCode = gives.status ?? 200
  if (gives.dateless) response.sendDate = false
  response.setHeader('X-Answer', String(number))
  for (const [name, value] of Object.entries(gives.fields ?? {})) response.setHeader(name, value instanceof Function ? value() : value)
  const body = Buffer.from(gives.body ?? `answer ${number}`)
  const bare = response.statusCode === 304 || response.statusCode === 204
  if (!bare) response.setHeader('Content-Length', body.length)
  // Every answer takes a moment, so that requests sent together do meet.
  setTimeout(() => response.end(bare || request.method === 'HEAD' ? undefined : body), gives.after ?? 0)
}
