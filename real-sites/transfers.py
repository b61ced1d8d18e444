"""Bodies both ways through curl and httpx: large, chunked, streamed, refused early, asked with 100-continue."""

import asyncio
import hashlib
import json
import random
import subprocess
import time

import h2.config
import h2.connection
import h2.events

import application

UPLOAD_BYTES = 50 << 20


def tell(stage, story):
    mangrove = stage.mangrove(application.start(stage), settings="request_body_bytes = \"64MiB\"")
    content = random.Random(50).randbytes(UPLOAD_BYTES)
    file = stage.folder / "upload.bin"
    file.write_bytes(content)

    for label, base, how in ways(mangrove):
        curl = ["curl", "-sS", "-k", "--max-time", "60", *how]
        uploads_with_curl(story, label, base, curl, file, digest(content))
        early_refusals(story, label, base, curl, file)
        downloads(story, label, base, curl)
        events_one_by_one(story, label, base, curl)
        cookies(story, label, base, curl)
        a_broken_answer_shows(story, label, base, curl)
    asyncio.run(both_ways_at_once(story, mangrove))
    too_large(story, mangrove, stage)
    mangrove.judge(story, allowed_reasons=EXPECTED)


# What these stories provoke: a body over the ceiling, an origin that breaks off, an origin that closes early.
EXPECTED = {"body-too-large", "ended-early", "client-reset"}


def ways(mangrove):
    return [
        ("h1", mangrove.http, ["--http1.1"]),
        ("h1 over TLS", mangrove.https, ["--http1.1"]),
        ("h2 over TLS", mangrove.https, ["--http2"]),
        ("h2 in cleartext", mangrove.http, ["--http2-prior-knowledge"]),
        ("h1 on [::1]", f"http://[::1]:{mangrove.clear}", ["--http1.1"]),
        ("h2 over TLS on [::1]", f"https://[::1]:{mangrove.tls}", ["--http2"]),
    ]


def uploads_with_curl(story, label, base, curl, file, wanted):
    for what, more in [
        ("50 MiB with Expect: 100-continue", ["-H", "Expect: 100-continue"]),
        ("50 MiB without asking first", ["-H", "Expect:"]),
        ("50 MiB without a length", ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"]),
        ("50 MiB without a length, asking first", ["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"]),
    ]:
        ran = run([*curl, "-v", "-T", file, *more, f"{base}/upload"])
        answer = parsed(ran.stdout)
        story.same(f"{label}: {what} arrives", (answer.get("size"), answer.get("sha256")), (UPLOAD_BYTES, wanted))
        if "-H Expect: 100-continue" in " ".join(more):
            story.check(f"{label}: {what} is told 100 first", "< HTTP/1.1 100" in ran.stderr or "< HTTP/2 100" in ran.stderr, last_lines(ran.stderr))
    form = run([*curl, "-F", f"file=@{file}", "-F", "note=জোয়ার", f"{base}/upload"])
    answer = parsed(form.stdout)
    story.same(f"{label}: a form with 50 MiB arrives", (answer.get("note"), answer.get("sha256")), ("জোয়ার", wanted))


def early_refusals(story, label, base, curl, file):
    """The origin says no before it has read the body: the client must see that answer."""
    asked = run([*curl, "-v", "-o", "/dev/stdout", "-T", file, "-H", "Expect: 100-continue", f"{base}/refuse"])
    # Over h2 this curl ends its upload short when it sees the head, which makes the request malformed; content that comes
    # after that may be cut off by a stream error. So only the status is sure there.
    told = "not wanted" in asked.stdout or label.startswith("h2")
    story.check(f"{label}: a refusal after Expect reaches curl", " 403" in asked.stderr and told, last_lines(asked.stderr))
    unasked = run([*curl, "-w", "%{http_code}", "-T", file, "-H", "Expect:", f"{base}/refuse"])
    story.check(f"{label}: a refusal in the middle of an upload reaches curl", unasked.stdout.endswith("403"), (unasked.stdout, unasked.stderr))


def downloads(story, label, base, curl):
    got = subprocess.run([*curl, f"{base}/large/64"], capture_output=True, timeout=90).stdout
    wanted = b"".join(bytes([number % 251]) * (1 << 20) for number in range(64))
    story.check(f"{label}: 64 MiB without a length come whole", got == wanted, len(got))


def events_one_by_one(story, label, base, curl):
    process = subprocess.Popen([*curl, "-N", f"{base}/events"], stdout=subprocess.PIPE)
    began, arrivals = time.monotonic(), []
    for line in process.stdout:
        if line.startswith(b"data: tick"):
            arrivals.append(time.monotonic() - began)
    process.wait(10)
    story.same(f"{label}: all events come", len(arrivals), application.TICKS)
    gaps = [later - sooner for sooner, later in zip(arrivals, arrivals[1:])]
    story.check(f"{label}: one by one as they were sent", gaps and min(gaps) > application.TICK_SECONDS / 2, gaps)


def cookies(story, label, base, curl):
    ran = run([*curl, "-i", "-H", "Cookie: a=1", "-H", "Cookie: b=2", f"{base}/cookies"])
    fields = [line for line in ran.stdout.splitlines() if line.lower().startswith("set-cookie:")]
    story.same(f"{label}: three Set-Cookie stay three", len(fields), 3)
    story.same(f"{label}: two Cookie lines arrive as one", parsed(ran.stdout.split("\n")[-1]), {"a": "1", "b": "2"})


def a_broken_answer_shows(story, label, base, curl):
    ran = run([*curl, f"{base}/broken"])
    story.check(f"{label}: an answer that breaks off is an error for the client", ran.returncode in (18, 56, 92), ran.returncode)


async def both_ways_at_once(story, mangrove):
    """A client that sends on only after it has seen the last piece come back."""
    pieces = [bytes([number]) * 16_000 for number in range(80)]
    got = await talk_over_h2(mangrove, pieces)
    story.same("h2: a mirror returns every piece before the next is sent", digest(got), digest(b"".join(pieces)))
    got = await talk_over_h1(mangrove, pieces)
    story.same("h1: a mirror returns every piece before the next is sent", digest(got), digest(b"".join(pieces)))


async def talk_over_h1(mangrove, pieces):
    """Chunk by chunk on a bare connection: no HTTP/1.1 client library reads before it has sent all."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mangrove.clear)
    writer.write(b"POST /mirror HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    got, head = b"", b""
    for piece in pieces:
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not head:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        back = 0
        while back < len(piece):
            size = int(await asyncio.wait_for(reader.readuntil(b"\r\n"), 10), 16)
            got += (await asyncio.wait_for(reader.readexactly(size + 2), 10))[:-2]
            back += size
    writer.write(b"0\r\n\r\n")
    ended = await asyncio.wait_for(reader.readexactly(5), 10)
    writer.close()
    return got if ended == b"0\r\n\r\n" else b""


async def talk_over_h2(mangrove, pieces):
    """Piece by piece on one stream."""
    reader, writer = await asyncio.open_connection("127.0.0.1", mangrove.clear)
    connection = h2.connection.H2Connection(h2.config.H2Configuration())
    connection.initiate_connection()
    connection.send_headers(1, [(":method", "POST"), (":scheme", "http"), (":path", "/mirror"), (":authority", "localhost")])
    left, got, sent, ended = list(pieces), b"", 0, False
    while not ended:
        if len(got) == sent and left:
            sent += len(left[0])
            connection.send_data(1, left.pop(0), end_stream=not left)
        writer.write(connection.data_to_send())
        arrived = await asyncio.wait_for(reader.read(65536), 10)
        ended = not arrived
        for event in connection.receive_data(arrived):
            if isinstance(event, h2.events.DataReceived):
                got += event.data
                connection.acknowledge_received_data(event.flow_controlled_length, 1)
            ended = ended or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset, h2.events.ConnectionTerminated))
    writer.close()
    return got


def digest(content):
    return hashlib.sha256(content).hexdigest()


def too_large(story, mangrove, stage):
    """Over the site's own ceiling: refused by name, at once when the length says so."""
    file = stage.folder / "large.bin"
    with file.open("wb") as hole:
        hole.truncate(65 << 20)
    for label, base, how in ways(mangrove):
        curl = ["curl", "-sS", "-k", "--max-time", "60", *how, "-T", file, "-w", "%{http_code}", f"{base}/upload"]
        story.check(f"{label}: 65 MiB with a length are 413", run(curl).stdout.endswith("413"), run(curl).stdout[-200:])
        chunked = run([*curl, "-H", "Transfer-Encoding: chunked"])
        story.check(f"{label}: and without one", chunked.stdout.endswith("413"), (chunked.stdout[-200:], chunked.stderr))


def run(command):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=90)


def parsed(text):
    try:
        return json.loads(text)
    except ValueError:
        return {"not JSON": text[:200]}


def last_lines(text):
    return [line for line in text.splitlines() if line[:1] in "<*>" ][-12:]
