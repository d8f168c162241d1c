"""A gRPC client with grpcio: `client.py STORY HOST:PORT [CA.pem]` plays one story and fails if it does not come out."""

import sys
import threading
from concurrent import futures

import grpc

story, target, *ca = sys.argv[1:]
options = [("grpc.enable_retries", 0), ("grpc.ssl_target_name_override", "grpc.example")]
if ca:
    with open(ca[0], "rb") as file:
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(file.read()), options)
else:
    channel = grpc.insecure_channel(target, options)

TIMEOUT = 15


def unary(name):
    return channel.unary_unary(f"/story.Echo/{name}")


def failure(call):
    """The error that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def unary_calls():
    echo = unary("Unary")
    for size in (0, 1, 1000, 3_000_000):
        assert echo(b"x" * size, timeout=TIMEOUT) == b"x" * size, size
    with futures.ThreadPoolExecutor(20) as pool:
        messages = [str(number).encode() for number in range(300)]
        assert list(pool.map(lambda message: echo(message, timeout=TIMEOUT), messages)) == messages


def metadata():
    raw = bytes(range(256))
    reply, call = unary("Unary").with_call(b"m", timeout=TIMEOUT, metadata=(("word", "a, b"), ("raw-bin", raw)))
    first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert first["seen-word"] == "a, b", first
    assert "grpc-python" in first["seen-agent"], first
    assert last["after"] == "all" and last["raw-bin"] == raw, last


def server_streaming():
    call = channel.unary_stream("/story.Echo/Count")
    assert [int(reply) for reply in call(b"2000", timeout=TIMEOUT)] == list(range(2000))
    assert list(call(b"0", timeout=TIMEOUT)) == []


def client_streaming():
    pieces = [str(number).encode() for number in range(500)]
    join = channel.stream_unary("/story.Echo/Join")
    assert join(iter(pieces), timeout=TIMEOUT) == b",".join(pieces)
    assert join(iter([]), timeout=TIMEOUT) == b""


def both_streaming():
    """Every reply is here before the next request is sent: nothing is held back on the way."""
    replies = []
    received = threading.Semaphore(1)

    def requests():
        for number in range(50):
            assert received.acquire(timeout=TIMEOUT), "the last reply did not come"
            yield str(number).encode()

    for reply in channel.stream_stream("/story.Echo/Talk")(requests(), timeout=2 * TIMEOUT):
        replies.append(reply)
        received.release()
    assert replies == [b"re: %d" % number for number in range(50)], replies


def pauses():
    """Who streams may have nothing to say for longer than the gateway waits for other bodies."""

    def requests():
        for piece in (b"a", b"b"):
            yield piece
            threading.Event().wait(1)

    assert channel.stream_unary("/story.Echo/Join")(requests(), timeout=TIMEOUT) == b"a,b"
    replies = channel.stream_stream("/story.Echo/Talk")(requests(), timeout=TIMEOUT)
    assert list(replies) == [b"re: a", b"re: b"]


def statuses():
    """Errors without a message ("trailers-only"), and behind messages, keep code and text."""
    for code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE):
        error = failure(lambda: unary("Fail")(f"{code.name}:nicht da: ä 100 %".encode(), timeout=TIMEOUT))
        assert (error.code(), error.details()) == (code, "nicht da: ä 100 %"), error
    seen = []
    call = channel.unary_stream("/story.Echo/CountAndFail")(b"3", timeout=TIMEOUT)
    error = failure(lambda: [seen.append(reply) for reply in call])
    assert seen == [b"0", b"1", b"2"], seen
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "that was all"), error


def deadlines():
    left = float(unary("Remaining")(b"", timeout=100))
    # The library rounds a timeout up to few digits before it sends it: 100 s may travel as 101.
    assert 50 < left <= 102, left
    error = failure(lambda: unary("Hang")(b"", timeout=0.5))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    assert unary("Hung")(b"", timeout=30) == b"yes", "the server was not told"


def cancellation():
    call = channel.unary_stream("/story.Echo/Hang")(b"", timeout=TIMEOUT)
    assert dict(call.initial_metadata())["started"] == "yes"
    call.cancel()
    error = failure(lambda: next(call))
    assert error.code() == grpc.StatusCode.CANCELLED, error
    assert unary("Hung")(b"", timeout=30) == b"yes", "the server was not told"


def expect(code):
    """The proxy's own failures, by the code that stands for them."""
    error = failure(lambda: unary("Unary")(b"", timeout=TIMEOUT))
    assert error.code() == grpc.StatusCode[code], error
    print("details", error.details())


def expect_of_hanging(code):
    error = failure(lambda: unary("Hang")(b"", timeout=TIMEOUT))
    assert error.code() == grpc.StatusCode[code], error


def all_over_tls():
    """The server has its calls by TLS, and everything else is as it is in cleartext."""
    assert unary("Security")(b"", timeout=TIMEOUT) == b"ssl"
    for play in (unary_calls, metadata, server_streaming, client_streaming, both_streaming, statuses):
        play()
    deadlines()
    cancellation()


def refusals():
    """What the gateway refuses by itself, each by the code that gRPC has for it."""
    many = tuple((f"field-{number}", "x") for number in range(120))
    for path, code, message, fields in (
        ("/story.Echo/%00", grpc.StatusCode.INTERNAL, b"", ()),
        ("/story.Echo/Unary", grpc.StatusCode.RESOURCE_EXHAUSTED, b"", many),
        ("/story.Echo/Unary", grpc.StatusCode.RESOURCE_EXHAUSTED, b"x" * 3000, ()),
        ("/story.Other/Unary", grpc.StatusCode.UNIMPLEMENTED, b"", ()),
        ("/story.Inner/Unary", grpc.StatusCode.PERMISSION_DENIED, b"", ()),
        ("/story.Secret/Unary", grpc.StatusCode.UNAUTHENTICATED, b"", ()),
        ("/story.Slow/Unary", grpc.StatusCode.UNAVAILABLE, b"", ()),
    ):
        error = failure(lambda: channel.unary_unary(path)(message, timeout=TIMEOUT, metadata=fields))
        assert error.code() == code, (path, error)
    # None of it was the end of the connection, or of what comes next.
    assert unary("Unary")(b"x" * 900, timeout=TIMEOUT) == b"x" * 900


def crowd():
    """Who comes while there is no room is told so, and served once there is."""
    first = channel.unary_stream("/story.Echo/Hang")(b"", timeout=TIMEOUT)
    assert dict(first.initial_metadata())["started"] == "yes"
    error = failure(lambda: unary("Unary")(b"", timeout=TIMEOUT))
    assert error.code() == grpc.StatusCode.UNAVAILABLE, error
    first.cancel()
    for _ in range(200):
        try:
            assert unary("Unary")(b"back", timeout=TIMEOUT) == b"back"
            return
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            threading.Event().wait(0.01)
    raise AssertionError("there was no room again")


name, _, argument = story.partition(":")
globals()[name](*filter(None, [argument]))
channel.close()
