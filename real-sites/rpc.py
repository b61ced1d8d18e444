"""A gRPC service: unary, streams each way, trailers, errors, deadlines; cleartext and TLS on both sides."""

import concurrent.futures
import datetime
import subprocess
import sys
import threading

import grpc

from stage import WORK, free_port

CALLS_AT_ONCE = 200
LARGE_BYTES = 3 << 20


def tell(stage, story):
    words, service = generated()
    stalled = threading.Event()
    key, certificate = self_signed(stage.folder)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", 16 << 20)])
    service.add_HarbourServicer_to_server(harbour(words, service, stalled), server)
    clear, tls = free_port(), free_port()
    server.add_insecure_port(f"127.0.0.1:{clear}")
    server.add_secure_port(f"127.0.0.1:{tls}", grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())]))
    server.start()
    try:
        to_clear = stage.mangrove(f"http://127.0.0.1:{clear}", '[site.origin]\nprotocol = "h2"', name="mangrove-clear")
        to_tls = stage.mangrove(f"https://localhost:{tls}", f'[site.origin]\nprotocol = "h2"\ntls_ca = "{certificate}"', name="mangrove-tls")
        by_alpn = stage.mangrove(f"https://localhost:{tls}", f'[site.origin]\ntls_ca = "{certificate}"', name="mangrove-alpn")
        for label, mangrove in [("cleartext origin", to_clear), ("TLS origin", to_tls), ("TLS origin by ALPN", by_alpn)]:
            for side, channel in [
                ("h2c", grpc.insecure_channel(f"127.0.0.1:{mangrove.clear}", LIMITS)),
                ("h2c on [::1]", grpc.insecure_channel(f"[::1]:{mangrove.clear}", LIMITS)),
                ("TLS", grpc.secure_channel(f"localhost:{mangrove.tls}", grpc.ssl_channel_credentials(mangrove.certificate.read_bytes()), LIMITS)),
            ]:
                with channel:
                    calls(story, f"{side} to {label}", words, service.HarbourStub(channel), stalled)
        for mangrove in (to_clear, to_tls, by_alpn):
            # Deadlines and cancellations are the client's own resets.
            mangrove.judge(story, allowed_reasons={"client-reset"})
    finally:
        server.stop(1).wait()


LIMITS = [("grpc.max_receive_message_length", 16 << 20)]


def generated():
    """The messages and stubs that protoc makes of harbour.proto."""
    folder = WORK / "generated"
    folder.mkdir(exist_ok=True)
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={folder}", f"--grpc_python_out={folder}", "harbour.proto"], check=True)
    sys.path.insert(0, str(folder))
    import harbour_pb2
    import harbour_pb2_grpc

    return harbour_pb2, harbour_pb2_grpc


def self_signed(folder):
    key, certificate = folder / "origin.key", folder / "origin.pem"
    # An authority and a leaf of its own: verifiers refuse a leaf that claims to be an authority.
    run = lambda *words: subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    authority_key, authority = folder / "authority.key", folder / "authority.pem"
    run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", "/CN=Test authority", "-keyout", authority_key, "-out", authority)
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", folder / "origin.csr")
    (folder / "origin.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    run("x509", "-req", "-in", folder / "origin.csr", "-CA", authority, "-CAkey", authority_key, "-days", "30", "-extfile", folder / "origin.ext", "-out", certificate)
    certificate.write_bytes(certificate.read_bytes() + authority.read_bytes())
    return key, certificate


def harbour(words, service, stalled):
    class Harbour(service.HarbourServicer):
        def Greet(self, request, context):
            told = dict(context.invocation_metadata())
            context.send_initial_metadata([("x-first", "before"), ("x-heard", told.get("x-said", ""))])
            context.set_trailing_metadata([("x-last", "after"), ("x-binary-bin", b"\x00\xff\n")])
            return words.Word(text=b"hello " + request.text)

        def Count(self, request, context):
            for value in range(request.value):
                yield words.Number(value=value)

        def Sum(self, requests, context):
            return words.Number(value=sum(request.value for request in requests))

        def Talk(self, requests, context):
            for request in requests:
                yield words.Word(text=request.text[::-1])

        def Fail(self, request, context):
            context.set_trailing_metadata([("x-why", "storm")])
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no ship leaves: ঝড় 100%\nreally")

        def Stall(self, request, context):
            gone = threading.Event()
            context.add_callback(gone.set)
            if gone.wait(20):
                stalled.set()
            return words.Word()

    return Harbour()


def calls(story, label, words, stub, stalled):
    word, call = stub.Greet.with_call(words.Word(text=b"sea"), metadata=[("x-said", "ahoy")], timeout=10)
    story.same(f"{label}: unary", word.text, b"hello sea")
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    story.same(f"{label}: metadata there, and back in head and trailers", (first.get("x-heard"), last.get("x-last"), last.get("x-binary-bin")), ("ahoy", "after", b"\x00\xff\n"))
    story.same(f"{label}: 5,000 messages from the server", [n.value for n in stub.Count(words.Number(value=5000), timeout=20)], list(range(5000)))
    story.same(f"{label}: 5,000 messages from the client", stub.Sum((words.Number(value=n) for n in range(5000)), timeout=20).value, sum(range(5000)))
    talk(story, label, words, stub)
    large = bytes(range(256)) * (LARGE_BYTES // 256)
    story.same(f"{label}: a message of 3 MiB both ways", stub.Greet(words.Word(text=large), timeout=20).text, b"hello " + large)
    packed = stub.Greet(words.Word(text=large), timeout=20, compression=grpc.Compression.Gzip)
    story.same(f"{label}: and compressed by gRPC", packed.text, b"hello " + large)
    many = [stub.Greet.future(words.Word(text=b"%d" % n), timeout=30) for n in range(CALLS_AT_ONCE)]
    story.same(f"{label}: {CALLS_AT_ONCE} calls at once", [f.result().text for f in many], [b"hello %d" % n for n in range(CALLS_AT_ONCE)])

    failure = failing(lambda: stub.Fail(words.Word(), timeout=10))
    story.same(f"{label}: an error keeps code, words and trailers", seen(failure), (grpc.StatusCode.FAILED_PRECONDITION, "no ship leaves: ঝড় 100%\nreally", "storm"))
    stalled.clear()
    began = datetime.datetime.now()
    late = failing(lambda: stub.Stall(words.Word(), timeout=0.5))
    story.same(f"{label}: a deadline ends a call", late.code() if late else None, grpc.StatusCode.DEADLINE_EXCEEDED)
    story.check(f"{label}: in time", (datetime.datetime.now() - began).total_seconds() < 3)
    story.check(f"{label}: and the service is told", stalled.wait(5))
    stalled.clear()
    cancelled = stub.Stall.future(words.Word(), timeout=20)
    threading.Event().wait(0.2)
    cancelled.cancel()
    story.check(f"{label}: so it is of a cancelled call", stalled.wait(5))
    story.same(f"{label}: calls go on after that", stub.Greet(words.Word(text=b"again"), timeout=10).text, b"hello again")


def talk(story, label, words, stub):
    """Each word is said only after the last one was answered: nothing may wait for more."""
    answered = threading.Semaphore(1)

    def said():
        for number in range(100):
            if not answered.acquire(timeout=10):
                return
            yield words.Word(text=b"word %d" % number)

    heard = []
    for word in stub.Talk(said(), timeout=30):
        heard.append(word.text[::-1])
        answered.release()
    story.same(f"{label}: 100 words in turn on one stream", heard, [b"word %d" % number for number in range(100)])


def failing(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    return None


def seen(error):
    return error and (error.code(), error.details(), dict(error.trailing_metadata()).get("x-why"))
