"""Measuring one proxy: right answers first, then load, memory, system calls."""

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time

from . import places
from .processes import Failed, Process


def cores():
    """The cores for the proxy and for load and backends; both are the same on a machine with one core."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) == 1:
        return {usable[0]}, {usable[0]}
    return {usable[0]}, {usable[1]}


def start_backend(on_cores):
    """The responder behind every proxy."""
    listen = sum((["--listen", address] for address in places.BACKENDS), [])
    backend = Process([places.program("backend"), *listen], on_cores, places.WORK / "run" / "backend")
    backend.wait_ready(places.BACKEND_PORTS[0])
    return backend


def load(port, on_cores, *options, timeout=120):
    """Runs the load generator; returns its result. A run with wrong answers is a failure, not a figure."""
    command = [str(places.program("load")), "--to", f"127.0.0.1:{port}", *(str(option) for option in options)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout,
        preexec_fn=lambda: os.sched_setaffinity(0, on_cores),
    )
    if done.returncode != 0:
        raise Failed(f"load {' '.join(command[3:])}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if result["errors"]:
        raise Failed(f"load {' '.join(command[3:])}: {result['errors']} wrong answers: {result['errors_by_kind']}")
    if not result["requests"]:
        raise Failed(f"load {' '.join(command[3:])}: no request was completed")
    if "--pid" in options and not result["cpu_seconds"]:
        raise Failed(f"load {' '.join(command[3:])}: answers came, but not from the process that is watched")
    return result


def answer(port, method, target, body=None, tls=False, host="bench.example"):
    """Status, size and hash of one answer; over TLS the certificate must be right."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        if tls:
            trust = ssl.create_default_context(cafile=str(places.TLS_CA))
            plain = socket.create_connection(("127.0.0.1", port), timeout=20)
            connection.sock = trust.wrap_socket(plain, server_hostname=host)
        connection.request(method, target, body=body, headers={"Host": host})
        response = connection.getresponse()
        content = response.read()
    finally:
        connection.close()
    return response.status, len(content), hashlib.sha256(content).hexdigest()


VERIFIED = [("GET", "/1k", None), ("GET", "/64k", None), ("GET", "/10m", None), ("GET", "/404", None), ("PUT", "/upload", 1 << 20)]


def wait_serving(port, seconds=15.0, tls=False, host="bench.example"):
    """Returns at the first 200: some proxies listen before they have their routes."""
    end = time.monotonic() + seconds
    while True:
        try:
            status = answer(port, "GET", "/1k", tls=tls, host=host)[0]
        except (OSError, http.client.HTTPException) as error:
            status = error
        if status == 200:
            return
        if time.monotonic() > end:
            raise Failed(f"answers {status} after {seconds:.0f} s")
        time.sleep(0.05)


def verify(port, tls=False):
    """Compares the proxy's answers with the backend's own: status, size, hash. Each is asked twice (keep-alive pools)."""
    wait_serving(port, tls=tls)
    for method, target, size in VERIFIED:
        body = bytes(range(256)) * (size // 256) if size else None
        direct = answer(places.BACKEND_PORTS[0], method, target, body)
        for _ in range(2):
            through = answer(port, method, target, body, tls)
            if through != direct:
                raise Failed(f"{method} {target}: {through[:2]} through the proxy, {direct[:2]} from the backend")


def backend_connections():
    """How many connections the backend has accepted so far."""
    connection = http.client.HTTPConnection("127.0.0.1", places.BACKEND_PORTS[0], timeout=5)
    connection.request("GET", "/connections")
    count = int(connection.getresponse().read())
    connection.close()
    return count


def syscalls(process, port, on_cores, options, count):
    """System calls per request by name, from a separate short run under strace; None where that is not possible."""
    if not shutil.which("strace"):
        return None
    summary = places.WORK / "run" / f"strace-{process.name}.txt"
    attached = sum((["-p", str(pid)] for pid in process.pids()), [])
    with open(places.WORK / "run" / f"strace-{process.name}.err", "w+") as errors:
        tracer = subprocess.Popen(
            ["strace", "-c", "-f", "-o", str(summary), *attached], stdout=errors, stderr=errors,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + 5
            while time.monotonic() < end and tracer.poll() is None:
                errors.seek(0)
                if errors.read().count("attached") >= len(process.pids()):
                    break
                time.sleep(0.05)
            if tracer.poll() is not None:
                return None
            result = load(port, on_cores, *options, "--count", count, timeout=180)
        except Failed:
            return None
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.wait(20)
    calls = {}
    for line in summary.read_text().splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w+)\s*$", line)
        if found and found[2] != "total":
            calls[found[2]] = int(found[1]) / result["requests"]
    return dict(sorted(calls.items(), key=lambda item: -item[1])) or None
