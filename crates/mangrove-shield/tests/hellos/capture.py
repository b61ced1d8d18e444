#!/usr/bin/env python3
"""Writes the ClientHello of each client installed here, fresh and resumed, into this folder: `python3 capture.py`.

A server with tickets stands behind a proxy that keeps the first bytes of every connection. Loopback only; a client that is
not installed is left out. Run it again when clients change, and look at what `cargo test -p mangrove-shield` then says.
"""

import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

HERE = pathlib.Path(__file__).parent
HOST = "shop.example"
PAGE = b"<!doctype html><title>.</title>"


def serve(listener, context):
    """Answers each connection once and closes it, so that the next one resumes."""
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=answer, args=(raw, context), daemon=True).start()


def answer(raw, context):
    try:
        with context.wrap_socket(raw, server_side=True) as tls:
            if tls.recv(65536):
                tls.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-store\r\nContent-Type: text/html\r\n"
                            b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE)
    except OSError:
        pass  # a client that only looked


def proxy(listener, behind, hellos):
    while True:
        client, _ = listener.accept()
        threading.Thread(target=carry, args=(client, behind, hellos), daemon=True).start()


def carry(client, behind, hellos):
    server = socket.create_connection(behind)
    first = b""
    while not is_whole(first):
        more = client.recv(65536)
        if not more:
            return client.close()
        first += more
    hellos.append(first[: whole(first)])
    server.sendall(first)
    back = threading.Thread(target=pipe, args=(server, client), daemon=True)
    back.start()
    pipe(client, server)
    back.join()


def pipe(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def whole(data):
    return 5 + int.from_bytes(data[3:5], "big")


def is_whole(data):
    return len(data) >= 5 and len(data) >= whole(data)


def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()


def keep(name, hellos):
    kept = {}
    for hello in hellos:
        kept.setdefault("resumed" if is_resumed(hello) else "fresh", hello)
    for state, hello in kept.items():
        (HERE / f"{name}-{state}.bin").write_bytes(hello)
        print(f"{name}-{state}: {len(hello)} bytes")
    hellos.clear()


def is_resumed(hello):
    """Whether it has extension 41, pre_shared_key."""
    rest = hello[5 + 4 + 2 + 32:]
    rest = rest[1 + rest[0]:]
    rest = rest[2 + int.from_bytes(rest[:2], "big"):]
    rest = rest[1 + rest[0]:][2:]
    while rest:
        if rest[:2] == b"\0\x29":
            return True
        rest = rest[4 + int.from_bytes(rest[2:4], "big"):]
    return False


def run(*command, **more):
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, check=False, **more)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
            "-keyout", folder / "key.pem", "-out", folder / "cert.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        context.set_alpn_protocols(["http/1.1"])
        hellos = []
        server, behind = listen()
        front, (address, port) = listen()
        threading.Thread(target=serve, args=(server, context), daemon=True).start()
        threading.Thread(target=proxy, args=(front, behind, hellos), daemon=True).start()

        if shutil.which("curl"):
            url = f"https://{HOST}:{port}/"
            run("curl", "-ks", "--resolve", f"{HOST}:{port}:{address}", url, url)
            keep("curl", hellos)
        if shutil.which("openssl"):
            ticket = folder / "ticket.pem"
            connect = ["openssl", "s_client", "-connect", f"{address}:{port}", "-servername", HOST]
            ask = b"GET / HTTP/1.0\r\n\r\n"
            run(*connect, "-sess_out", ticket, "-ign_eof", input=ask)
            run(*connect, "-sess_in", ticket, "-ign_eof", input=ask)
            keep("openssl", hellos)
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        if chromium:
            pages = folder / "pages.html"
            pages.write_text(f"<iframe src='https://{HOST}:{port}/1'></iframe><script>setTimeout(() => "
                             f"document.body.append(Object.assign(document.createElement('iframe'), "
                             f"{{src: 'https://{HOST}:{port}/2'}})), 500)</script>")
            run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                "--ignore-certificate-errors", f"--user-data-dir={folder / 'profile'}",
                f"--host-resolver-rules=MAP {HOST} {address}, MAP *.* ~NOTFOUND", "--virtual-time-budget=4000",
                "--dump-dom", pages.as_uri())
            keep("chromium", hellos)


main()
