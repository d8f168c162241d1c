"""A gRPC server with grpcio: `server.py [CERTIFICATE.pem KEY]` prints `port N`, serves until its input ends, over TLS if
it has a certificate. Messages are plain bytes."""

import sys
import threading
from concurrent import futures

import grpc

cancelled = threading.Semaphore(0)
news = threading.Semaphore(0)


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata((("seen-agent", metadata.get("user-agent", "")), ("seen-word", metadata.get("word", "-"))))
    context.set_trailing_metadata((("after", "all"), ("raw-bin", metadata.get("raw-bin", b"none"))))
    return request


def fail(request, context):
    code, _, details = request.decode().partition(":")
    context.abort(grpc.StatusCode[code], details)


def count(request, context):
    for number in range(int(request)):
        yield str(number).encode()


def count_and_fail(request, context):
    yield from count(request, context)
    context.abort(grpc.StatusCode.DATA_LOSS, "that was all")


def join(requests, context):
    return b",".join(requests)


def talk(requests, context):
    for request in requests:
        yield b"re: " + request


def hang(request, context):
    over = threading.Event()
    context.add_callback(over.set)
    context.send_initial_metadata((("started", "yes"),))
    over.wait(30)
    cancelled.release()
    return b"too late"


def hung(request, context):
    """Answers once a call of `hang` has ended."""
    return b"yes" if cancelled.acquire(timeout=15) else b"no"


def told(request, context):
    """Says something, and more only when somebody calls `tell`."""
    yield b"first"
    if not news.acquire(timeout=15):
        context.abort(grpc.StatusCode.ABORTED, "nobody told")
    yield b"second"


def tell(request, context):
    news.release()
    return b""


def remaining(request, context):
    left = context.time_remaining()
    return b"none" if left is None else str(left).encode()


def security(request, context):
    """What the server's library knows of the connection that a call came by: `ssl`, or nothing."""
    return b",".join(context.auth_context().get("transport_security_type", []))


unary_calls = {"Security": security, "Tell": tell, "Unary": unary, "Fail": fail, "Hang": hang, "Hung": hung, "Remaining": remaining}
stream_calls = {"Told": told, "Count": count, "CountAndFail": count_and_fail}
methods = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in unary_calls.items()}
methods |= {name: grpc.unary_stream_rpc_method_handler(call) for name, call in stream_calls.items()}
methods["Join"] = grpc.stream_unary_rpc_method_handler(join)
methods["Talk"] = grpc.stream_stream_rpc_method_handler(talk)

server = grpc.server(futures.ThreadPoolExecutor(32))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("story.Echo", methods),))
if sys.argv[1:]:
    certificate, key = (open(path, "rb").read() for path in sys.argv[1:])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
print("port", port, flush=True)
server.start()
sys.stdin.read()
server.stop(0)
