"""User instructions of a proxied request: two runs under callgrind, the longer minus the shorter."""

from . import callgrind, measure, places, processes

CONNECTIONS = 8
WARMUP_REQUESTS = 400


class Variant:
    """One way to ask: how the proxy is started and what the load generator does."""

    def __init__(self, name, title, options, tls=False):
        self.name, self.title, self.options, self.tls = name, title, options, tls


VARIANTS = [
    Variant("plain", f"HTTP/1.1, {CONNECTIONS} keep-alive connections, 1 KB answers", ["--connections", CONNECTIONS]),
    Variant("tls", f"HTTP/1.1 over TLS 1.3, {CONNECTIONS} keep-alive connections, 1 KB answers",
            ["--connections", CONNECTIONS], tls=True),
    Variant("h2", "HTTP/2 over TLS 1.3, 2 connections of 16 streams, 1 KB answers, HTTP/1.1 to the backends",
            ["--protocol", "h2", "--connections", 2, "--streams", 16], tls=True),
]


def variant(name):
    return next(variant for variant in VARIANTS if variant.name == name)


def run(peer, kind, requests, cores, workers, scale):
    """Instructions of a proxy that serves so many requests, and of its end."""
    proxy_cores, load_cores = cores
    out = places.WORK / "run" / "callgrind"
    prefix = callgrind.under(out, trace_children=peer.name not in ("foregate", "relay"))
    process = peer.start(proxy_cores, files=1024, workers=workers, suffix="-callgrind", under=prefix, tls=kind.tls)
    encrypted = ["--tls", places.TLS_CA] if kind.tls else []
    options = [word * scale if previous == "--connections" else word
               for previous, word in zip([None, *kind.options], kind.options)]
    try:
        port = peer.tls_port if kind.tls else peer.port
        # What happens once is no cost of a request, and gathering randomness at the start takes as long as it happens to.
        measure.load(port, load_cores, *encrypted, *options, "--count", WARMUP_REQUESTS, timeout=600)
        callgrind.forget(process.pids())
        measure.load(port, load_cores, *encrypted, *options, "--count", requests, timeout=600)
    except processes.Failed as error:
        process.stop(60)
        # An illegal instruction shows first as a load that fails.
        callgrind.total(out, process.log.read_text(errors="replace"))
        raise error
    finally:
        process.stop(60)
    return callgrind.total(out, process.log.read_text(errors="replace"))


def per_request(peer, kind, requests, workers=1, scale=1):
    """The figure of a variant; `scale` multiplies its connections."""
    cores = measure.cores()
    if kind.tls:
        places.make_certificates()
    backend = measure.start_backend(cores[1])
    try:
        once, twice = (run(peer, kind, count, cores, workers, scale) for count in (requests, 2 * requests))
    finally:
        backend.stop()
    return (twice - once) / requests
