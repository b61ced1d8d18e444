"""A large static tree: Debian's python3-doc behind nginx, fetched whole over HTTP/1.1 and HTTP/2."""

import asyncio
import functools
import gzip
import hashlib
import pathlib
import subprocess
import urllib.parse
from html.parser import HTMLParser

import httpx

from stage import free_port

TREE = pathlib.Path("/usr/share/doc/python3.11/html")
FETCHES_AT_MOST = 5000
AT_ONCE = 16


def tell(stage, story):
    port = free_port()
    stage.nginx(nginx_server(port), port)
    origin = f"http://127.0.0.1:{port}"
    mangrove = stage.mangrove(origin)

    wget_takes_the_tree(stage, story, mangrove)
    for label, base, http2 in [
        ("h1 in cleartext", mangrove.http, False),
        ("h1 over TLS", mangrove.https, False),
        ("h2 over TLS", mangrove.https, True),
        ("h2 over TLS on [::1]", f"https://[::1]:{mangrove.tls}", True),
    ]:
        asyncio.run(crawl(story, label, base, http2))
    with_h2load(story, mangrove)
    parts_of_messages(story, origin, mangrove)
    mangrove.judge(story)


def nginx_server(port):
    # Without `gzip_proxied`, nginx compresses nothing for a request with Via, which every honest gateway sends.
    return f"""
        listen 127.0.0.1:{port};
        listen [::1]:{port};
        root {TREE};
        gzip on;
        gzip_proxied any;
        gzip_types text/css application/javascript;
        location = /missing {{ return 404 "nothing here\\n"; }}
        location = /moved {{ return 301 /library/index.html; }}
    """


def wget_takes_the_tree(stage, story, mangrove):
    """A real crawler of another make follows every link it finds."""
    folder = stage.folder / "wget"
    subprocess.run(["rm", "-rf", folder], check=True)
    command = ["wget", "-q", "-r", "-l", "20", "-nH", "--no-parent", "-Q", "500m", "-P", folder, f"{mangrove.http}/index.html"]
    status = subprocess.run(command, timeout=300).returncode
    # wget answers 8 when any link of the pages is dead, as some of the package's own are.
    story.check("wget -r ends", status in (0, 8), status)
    fetched = [path for path in folder.rglob("*") if path.is_file()]
    wrong = [str(path.relative_to(folder)) for path in fetched if differs(path, TREE / path.relative_to(folder))]
    story.same("every file wget -r took is the file on disk", wrong, [])
    story.check("wget -r found most of the tree", len(fetched) > 400, len(fetched))
    size = sum(path.stat().st_size for path in fetched)
    story.note(f"wget -r over h1: {len(fetched)} files, {size >> 20} MiB, identical")


def differs(path, original):
    # wget keeps a query in the name of the file.
    original = original.with_name(original.name.partition("?")[0])
    return not original.exists() or path.read_bytes() != original.read_bytes()


async def crawl(story, label, base, http2):
    """Fetches all files of the tree and everything their links reach; compares each with the disk."""
    files = [path for path in TREE.rglob("*") if path.is_file()]
    wanted = {"/" + urllib.parse.quote(str(path.relative_to(TREE))) for path in files}
    seen, frontier, wrong, size = set(), set(wanted) | {"/"}, [], 0
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(http2=http2, http1=not http2, verify=False, timeout=30, limits=limits) as client:
        while frontier and len(seen) < FETCHES_AT_MOST:
            batch = sorted(frontier)[:AT_ONCE]
            frontier.difference_update(batch)
            seen.update(batch)
            answers = await asyncio.gather(*(client.get(base + path) for path in batch))
            for path, answer in zip(batch, answers):
                size += len(answer.content)
                if problem := wrong_answer(path, answer, http2):
                    wrong.append(problem)
                if answer.headers.get("content-type", "").startswith("text/html") and answer.status_code == 200:
                    frontier |= links(path, answer.text) - seen
    story.same(f"{label}: every answer is the file on disk, or 404 where there is none", wrong, [])
    story.check(f"{label}: the whole tree was seen", wanted <= seen and not frontier, len(seen))
    story.note(f"{label}: {len(seen)} URLs, {len(wanted)} files, {size >> 20} MiB, identical")


def wrong_answer(path, answer, http2):
    file = TREE / urllib.parse.unquote(path.partition("?")[0].lstrip("/"))
    if file.is_dir():
        file = file / "index.html"
    if answer.http_version != ("HTTP/2" if http2 else "HTTP/1.1"):
        return f"{path}: {answer.http_version}"
    if not file.is_file():
        return None if answer.status_code in (301, 403, 404) else f"{path}: {answer.status_code} for no file"
    same = answer.status_code == 200 and hashlib.sha256(answer.content).digest() == hashlib.sha256(file.read_bytes()).digest()
    return None if same else f"{path}: {answer.status_code}, {len(answer.content)} bytes"


@functools.cache
def links(path, text):
    """Paths of this site that a page refers to, without fragments."""
    found = set()

    class Reader(HTMLParser):
        def handle_starttag(self, _tag, attributes):
            for name, value in attributes:
                if name in ("href", "src") and value:
                    target = urllib.parse.urlsplit(urllib.parse.urljoin(path, value))
                    if not target.scheme and not target.netloc:
                        found.add(urllib.parse.quote(target.path, safe="/%") or "/")

    Reader().feed(text)
    return found


def with_h2load(story, mangrove):
    """Many streams at once on few connections: nothing lost, and memory stays bounded."""
    before = mangrove.resident_kib()
    command = ["h2load", "-n", "4000", "-c", "8", "-m", "50", f"{mangrove.https}/library/stdtypes.html", f"{mangrove.https}/_static/pydoctheme.css"]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    line = next((line for line in out.splitlines() if line.startswith("requests:")), out)
    story.check("h2load: 4000 of 4000 succeed on 8 connections with 50 streams each", "4000 succeeded, 0 failed, 0 errored" in line, line)
    story.note(f"h2load: {line}; resident {before} KiB before, {mangrove.resident_kib()} KiB after")


def parts_of_messages(story, origin, mangrove):
    """Ranges, HEAD, validators and encodings pass through as the origin made them."""
    file = (TREE / "library/stdtypes.html").read_bytes()
    for label, base, http2 in [("h1", mangrove.http, False), ("h2", mangrove.https, True), ("h1 on [::1]", f"http://[::1]:{mangrove.clear}", False)]:
        plain = {"accept-encoding": "identity"}
        with httpx.Client(http2=http2, http1=not http2, verify=False, headers=plain) as client, httpx.Client(headers=plain) as direct:
            ask = lambda path, method="GET", **fields: client.request(method, base + path, headers=fields_of(fields))
            at_origin = lambda path, method="GET", **fields: direct.request(method, origin + path, headers=fields_of(fields))
            page = "/library/stdtypes.html"

            answer = ask(page, range="bytes=1000-1999")
            story.same(f"{label}: a range is 206", answer.status_code, 206)
            story.same(f"{label}: with its bytes", answer.content, file[1000:2000])
            story.same(f"{label}: and says which", answer.headers["content-range"], f"bytes 1000-1999/{len(file)}")
            story.same(f"{label}: the last 10 bytes", ask(page, range="bytes=-10").content, file[-10:])
            several = ask(page, range="bytes=0-9,100-109")
            story.check(f"{label}: two ranges are multipart", several.headers["content-type"].startswith("multipart/byteranges"))
            story.check(f"{label}: both parts are there", file[0:10] in several.content and file[100:110] in several.content)
            beyond = ask(page, range=f"bytes={len(file)}-")
            story.same(f"{label}: a range past the end is 416", (beyond.status_code, beyond.headers["content-range"]), (416, f"bytes */{len(file)}"))

            head, full = ask(page, "HEAD"), ask(page)
            story.same(f"{label}: HEAD has no content", head.content, b"")
            story.same(f"{label}: HEAD says GET's length", head.headers["content-length"], str(len(file)))
            story.same(f"{label}: GET without encoding has that length", (full.headers["content-length"], full.content), (str(len(file)), file))
            story.same(f"{label}: If-None-Match is 304", conditional(ask(page, if_none_match=full.headers["etag"])), (304, b"", full.headers["etag"]))
            story.same(f"{label}: If-Modified-Since is 304", ask(page, if_modified_since=full.headers["last-modified"]).status_code, 304)
            story.same(f"{label}: If-Range with the right tag is 206", ask(page, range="bytes=0-9", if_range=full.headers["etag"]).status_code, 206)
            story.same(f"{label}: If-Range with another is 200", ask(page, range="bytes=0-9", if_range='"other"').status_code, 200)
            story.same(f"{label}: If-Match with another is 412", ask(page, if_match='"other"').status_code, 412)

            with client.stream("GET", base + page, headers={"accept-encoding": "gzip"}) as answer:
                packed = b"".join(answer.iter_raw())
                story.same(f"{label}: gzip stays gzip", answer.headers.get("content-encoding"), "gzip")
            with direct.stream("GET", origin + page, headers={"accept-encoding": "gzip"}) as answer:
                story.same(f"{label}: its bytes are the origin's", packed, b"".join(answer.iter_raw()))
            story.same(f"{label}: and unpack to the file", gzip.decompress(packed), file)

            story.same(f"{label}: 404 is the origin's own", (ask("/missing").status_code, ask("/missing").text), (404, "nothing here\n"))
            story.same(f"{label}: a redirect is passed on", ask("/moved").status_code, 301)
            story.check(f"{label}: to a place on this site", "/library/index.html" in ask("/moved").headers["location"], ask("/moved").headers["location"])
            story.same(f"{label}: POST to a file is nginx's 405", ask(page, "POST").status_code, 405)
            story.same(f"{label}: OPTIONS is passed on", ask(page, "OPTIONS").status_code, at_origin(page, "OPTIONS").status_code)
            own = {"date", "server", "connection", "keep-alive", "x-request-id", "via", "transfer-encoding", "alt-svc"}
            theirs = {k: v for k, v in at_origin(page).headers.items() if k not in own}
            story.same(f"{label}: no field of the origin is lost or changed", {k: v for k, v in ask(page).headers.items() if k in theirs}, theirs)


def fields_of(names):
    return {name.replace("_", "-"): value for name, value in names.items()}


def conditional(answer):
    return answer.status_code, answer.content, answer.headers.get("etag")
