"""A small modern application for uvicorn: uploads, server-sent events, WebSocket, slow and large answers."""

import asyncio
import hashlib

from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

TICKS = 8
TICK_SECONDS = 0.25

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Harbour</title>
<link rel="icon" href="data:,">
<style>body{font:16px/1.5 system-ui;max-width:40em;margin:2em auto}li{font-variant-numeric:tabular-nums}</style>
<h1>Harbour</h1>
<form id="form" method="post" action="/upload" enctype="multipart/form-data">
  <input id="file" name="file" type="file"> <input name="note" value="জোয়ার"> <button>Send</button></form>
<h2>Events</h2><ol id="events"></ol>
<h2>WebSocket</h2><pre id="socket"></pre>
<script>
const arrivals = [];
function listen() {
  return new Promise((done) => {
    const began = performance.now(), source = new EventSource('/events');
    source.onmessage = (event) => {
      arrivals.push(performance.now() - began);
      document.getElementById('events').insertAdjacentHTML('beforeend', `<li>${event.data} at ${Math.round(arrivals.at(-1))} ms`);
    };
    source.addEventListener('end', () => { source.close(); done(arrivals); });
  });
}
async function digest(buffer) {
  return [...new Uint8Array(await crypto.subtle.digest('SHA-256', buffer))].map((b) => b.toString(16).padStart(2, '0')).join('');
}
async function upload(size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 65536) crypto.getRandomValues(bytes.subarray(at, Math.min(at + 65536, size)));
  const answer = await (await fetch('/upload', { method: 'PUT', body: bytes })).json();
  return { sent: { size, sha256: await digest(bytes) }, got: { size: answer.size, sha256: answer.sha256 } };
}
function talk() {
  const saw = { text: '', binary: false, protocol: '', close: 0, reason: '' };
  const large = new Uint8Array(1 << 20).map((_, at) => at * 7);
  return new Promise((done) => {
    const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket', ['harbour']);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => { saw.protocol = socket.protocol; socket.send('শুভ সকাল'); };
    socket.onmessage = (event) => {
      if (typeof event.data === 'string') { saw.text = event.data; socket.send(large); }
      else { const back = new Uint8Array(event.data); saw.binary = back.length === large.length && back.every((b, at) => b === large[at]); socket.send('close 4321'); }
    };
    socket.onclose = (event) => { saw.close = event.code; saw.reason = event.reason; document.getElementById('socket').textContent = JSON.stringify(saw); done(saw); };
  });
}
</script></html>"""


async def page(request):
    return HTMLResponse(PAGE)


async def upload(request):
    """Says what arrived: size, digest, and for a form its fields."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form() as form:
            content = await form["file"].read()
            return JSONResponse({"name": form["file"].filename, "note": form["note"], "size": len(content), "sha256": hashlib.sha256(content).hexdigest()})
    size, digest = 0, hashlib.sha256()
    async for chunk in request.stream():
        size += len(chunk)
        digest.update(chunk)
    return JSONResponse({"size": size, "sha256": digest.hexdigest(), "fields": dict(request.headers)})


async def refuse(request):
    """Answers before it has read any of the body."""
    return Response("not wanted\n", 403)


async def events(request):
    async def tick():
        for number in range(TICKS):
            yield f"data: tick {number}\n\n"
            await asyncio.sleep(TICK_SECONDS)
        yield "event: end\ndata: \n\n"

    return StreamingResponse(tick(), media_type="text/event-stream", headers={"cache-control": "no-store"})


class Mirror:
    """Sends back every piece as it comes, while more are still on their way."""

    async def __call__(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/octet-stream")]})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def large(request):
    """`mib` MiB without a length."""
    async def blocks():
        for number in range(int(request.path_params["mib"])):
            yield bytes([number % 251]) * (1 << 20)

    return StreamingResponse(blocks(), media_type="application/octet-stream")


async def cookies(request):
    answer = JSONResponse(dict(request.cookies))
    for name in ("first", "second", "third"):
        answer.set_cookie(name, f"{name} value; with, odd=signs", httponly=True, samesite="lax")
    return answer


async def broken(request):
    """Promises 1000 bytes, sends ten, and goes away."""
    async def part():
        yield b"ten bytes."
        raise RuntimeError("on purpose")

    return StreamingResponse(part(), headers={"content-length": "1000"})


async def socket(websocket):
    await websocket.accept(subprotocol="harbour" if "harbour" in websocket.scope["subprotocols"] else None)
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if message.get("text", "") and message["text"].startswith("close "):
            return await websocket.close(int(message["text"].split()[1]), "as you asked")
        await websocket.send(message | {"type": "websocket.send"})


app = Starlette(routes=[
    Route("/", page),
    Route("/upload", upload, methods=["PUT", "POST"]),
    Route("/refuse", refuse, methods=["PUT", "POST"]),
    Route("/events", events),
    Route("/mirror", Mirror(), methods=["POST"]),
    Route("/large/{mib}", large),
    Route("/cookies", cookies),
    Route("/broken", broken),
    WebSocketRoute("/socket", socket),
])


def start(stage):
    """The application under uvicorn; answers its address."""
    import sys

    from stage import HERE, free_port, listening

    port = free_port()
    command = [sys.executable, "-B", "-m", "uvicorn", "application:app", "--host", "127.0.0.1", "--port", port, "--no-access-log", "--ws-max-size", 16 << 20]
    stage.start("uvicorn", command, lambda: listening(port), cwd=HERE)
    return f"http://127.0.0.1:{port}"
