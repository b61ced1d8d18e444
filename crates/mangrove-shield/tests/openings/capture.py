#!/usr/bin/env python3
"""Writes what each client installed here says before its first answers, over HTTP/2 and HTTP/1, into this folder:
`python3 capture.py 127.0.0.1:8080`, where an edge listens there without TLS.

A proxy takes TLS away and hands the bytes on to that edge, which answers; it keeps what the client sent, up to the end of its first
two heads. Each client comes twice, with other cookies and for another page. Loopback only; a client that is not installed is left
out. Run it again when clients change, and look at what the tests of `mangrove-shield` and `mangrove-edge` then say.
"""

import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
HOST = "shop.example"
HEADERS, END_HEADERS = 1, 4


def proxy(listener, context, behind, heard):
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=carry, args=(raw, context, behind, heard), daemon=True).start()


def carry(raw, context, behind, heard):
    try:
        client = context.wrap_socket(raw, server_side=True) if context else raw
        server = socket.create_connection(behind)
    except OSError:
        return  # a client that only looked
    kept = bytearray()
    heard.append(kept)
    threading.Thread(target=pipe, args=(server, client, bytearray()), daemon=True).start()
    pipe(client, server, kept)


def pipe(source, sink, kept):
    try:
        while data := source.recv(65536):
            kept += data
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def heads(data):
    """Where each head of a request ends."""
    ends = []
    if not data.startswith(b"PRI "):
        at = 0
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            ends.append(at := end + 4)
        return ends
    at = 24
    while at + 9 <= len(data):
        length, kind, flags = int.from_bytes(data[at:at + 3], "big"), data[at + 3], data[at + 4]
        at += 9 + length
        if kind == HEADERS and flags & END_HEADERS and at <= len(data):
            ends.append(at)
    return ends


def run(*command):
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False)


def keep(name, heard):
    """The first connection on which something was asked."""
    for data in heard:
        if ends := heads(data):
            (HERE / f"{name}.bin").write_bytes(data[:ends[:2][-1]])
            print(f"{name}: {len(ends[:2])} heads")
            break
    heard.clear()


def main():
    address, port = sys.argv[1].rsplit(":", 1)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
            "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        for protocol, offered, scheme in [("h2", "h2", "https"), ("h1", None, "http")]:
            context = None
            if offered:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
                context.set_alpn_protocols([offered])
            heard = []
            listener = socket.create_server(("127.0.0.1", 0))
            here, own_port = listener.getsockname()
            behind = (address, int(port))
            threading.Thread(target=proxy, args=(listener, context, behind, heard), daemon=True).start()
            url = f"{scheme}://{HOST}:{own_port}"
            for visit, page, cookie in [("first", "/", "a=b"), ("second", "/news/4711?page=2", "c=d; e=f")]:
                if shutil.which("curl"):
                    run("curl", "-ks", "--resolve", f"{HOST}:{own_port}:{here}", "-b", cookie,
                        *([] if visit == "first" else ["-e", "https://other.example/"]), url + page)
                    keep(f"curl-{protocol}-{visit}", heard)
                if chromium:
                    run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                        "--ignore-certificate-errors", f"--user-data-dir={folder / f'profile-{protocol}-{visit}'}",
                        f"--host-resolver-rules=MAP {HOST} {here}, MAP *.* ~NOTFOUND", "--virtual-time-budget=4000",
                        "--dump-dom", url + page)
                    keep(f"chromium-{protocol}-{visit}", heard)


main()
