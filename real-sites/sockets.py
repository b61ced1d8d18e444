"""A WebSocket service under uvicorn and the `websockets` library, over HTTP/1.1; over HTTP/2 see the browser."""

import asyncio
import contextlib
import os
import ssl

import websockets

import application
from stage import free_port

CONNECTIONS_AT_ONCE = 200


def tell(stage, story):
    asyncio.run(tell_async(stage, story))


async def tell_async(stage, story):
    port = free_port()
    trusting = ssl._create_unverified_context()
    async with websockets.serve(echo, "127.0.0.1", port, max_size=8 << 20, subprotocols=["harbour"]):
        # The service runs in this process, so Mangrove is waited for in another thread.
        library = await asyncio.to_thread(stage.mangrove, f"http://127.0.0.1:{port}", name="mangrove")
        uvicorn = await asyncio.to_thread(lambda: stage.mangrove(application.start(stage), name="mangrove-uvicorn"))
        for label, url, tls in [
            ("ws", f"ws://localhost:{library.clear}/", None),
            ("wss", f"wss://localhost:{library.tls}/", trusting),
            ("ws on [::1]", f"ws://[::1]:{library.clear}/", None),
            ("ws to uvicorn", f"ws://localhost:{uvicorn.clear}/socket", None),
            ("wss to uvicorn", f"wss://localhost:{uvicorn.tls}/socket", trusting),
        ]:
            connect = lambda compression=None: websockets.connect(url, ssl=tls, max_size=8 << 20, subprotocols=["harbour"], compression=compression)
            await messages(story, label, connect)
            await endings(story, label, connect)
            await many(story, label, connect)
        await refused_by_origin(story, library)
    await asyncio.to_thread(library.judge, story, {"client-reset", "tunnel-closed"})
    await asyncio.to_thread(uvicorn.judge, story, {"client-reset", "tunnel-closed"})


async def echo(socket):
    if socket.request.path == "/forbidden":
        return await socket.close(1008, "not here")
    with contextlib.suppress(websockets.ConnectionClosed):
        async for message in socket:
            if isinstance(message, str) and message.startswith("close "):
                return await socket.close(int(message.split()[1]), "as you asked")
            await socket.send(message)


async def messages(story, label, connect):
    async with connect() as socket:
        story.same(f"{label}: the subprotocol is agreed", socket.subprotocol, "harbour")
        for what, message in [
            ("text", "জোয়ার আসে"), ("no text", ""), ("no bytes", b""), ("binary", bytes(range(256))),
            ("1 MiB", os.urandom(1 << 20)), ("4 MiB of text", "ভাটা" * (1 << 20 >> 2)), ("one byte", b"x"),
        ]:
            await socket.send(message)
            story.check(f"{label}: {what} comes back", await asyncio.wait_for(socket.recv(), 20) == message)
        fragments = [os.urandom(50_000) for _ in range(20)]
        await socket.send(fragments)
        story.check(f"{label}: 20 fragments come back as one message", await asyncio.wait_for(socket.recv(), 20) == b"".join(fragments))
        pong = await socket.ping(b"are you there")
        story.check(f"{label}: ping is answered", await asyncio.wait_for(pong, 5) >= 0)
        for number in range(1000):
            await socket.send(str(number))
        back = [await asyncio.wait_for(socket.recv(), 10) for _ in range(1000)]
        story.same(f"{label}: 1,000 small messages keep their order", back, [str(number) for number in range(1000)])
    async with connect(compression="deflate") as socket:
        message = "the tide " * 100_000
        await socket.send(message)
        story.check(f"{label}: with permessage-deflate", await asyncio.wait_for(socket.recv(), 20) == message)
        story.check(f"{label}: which was agreed end to end", "permessage-deflate" in socket.response.headers.get("sec-websocket-extensions", ""))


async def endings(story, label, connect):
    for code in (1000, 1001, 3000, 4321):
        async with connect() as socket:
            await socket.send(f"close {code}")
            await asyncio.wait_for(socket.wait_closed(), 5)
            story.same(f"{label}: the service's close code arrives", (socket.close_code, socket.close_reason), (code, "as you asked"))
    socket = await connect()
    await socket.close(4000, "enough")
    story.same(f"{label}: the client's close is answered", socket.close_code, 4000)


async def many(story, label, connect):
    async def one(number):
        async with connect() as socket:
            await socket.send(f"number {number}")
            return await asyncio.wait_for(socket.recv(), 20)

    back = await asyncio.gather(*(one(number) for number in range(CONNECTIONS_AT_ONCE)))
    story.same(f"{label}: {CONNECTIONS_AT_ONCE} at once, each its own", back, [f"number {number}" for number in range(CONNECTIONS_AT_ONCE)])


async def refused_by_origin(story, mangrove):
    async with websockets.connect(f"ws://localhost:{mangrove.clear}/forbidden", subprotocols=["harbour"]) as socket:
        await asyncio.wait_for(socket.wait_closed(), 5)
        story.same("a policy close arrives", (socket.close_code, socket.close_reason), (1008, "not here"))
