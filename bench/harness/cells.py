"""One proxy under steady load while one fault befalls one of three backends; and what came of it."""

import shutil
import subprocess
import time

from . import faults, measure, peers, places
from .processes import Failed, Process

# As the configurations in peers/resilience say: interval 1 s, fall 2, timeout 1 s (docs/resilience.md).
WINDOW_S = 1.1 * 1 + (2 - 1) * 1.1 * 1 + 2 * 1
# An answer that took longer has met the fault.
TOUCHED_US = 250_000
PATIENCE_S = 16.0


def start(peer, backends, cores, files):
    """Starts a proxy with its configuration for this bench."""
    directory = places.WORK / "run" / f"resilience-{peer.name}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    values = {"PORT": peer.port, "LISTEN": f"127.0.0.1:{peer.port}", "ADMIN_PORT": peer.admin_port,
              "WORK": directory, "USER": peers.getpass.getuser(), "FILES": files}
    for number, backend in enumerate(backends, 1):
        values |= {f"BACKEND_{number}": backend.address, f"BACKEND_HOST_{number}": backend.host, f"BACKEND_PORT_{number}": backend.port}
    for template, name in peer.templates().items():
        (directory / name).write_text(peers.render(f"resilience/{template}", values, set()))
    process = Process(peer.command(str(peer.binary()), directory), cores, directory, peer.environment(), name=peer.name)
    process.wait_ready(peer.port)
    measure.wait_serving(peer.port)
    return process


class Steady:
    """The load, and what it has written so far."""

    def __init__(self, port, rate, cores, directory):
        self.file = directory / "steady.csv"
        command = [places.program("steady"), "--to", f"127.0.0.1:{port}", "--rate", str(rate), "--out", str(self.file)]
        self.process = Process(command, cores, directory, stdin=subprocess.PIPE, name="steady")

    def requests(self):
        """(due µs, took µs, status, backend, trouble) of every finished request, by when it was due."""
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        split = (line.split(",") for line in lines)
        return sorted((int(due), int(took), int(status), backend, trouble) for due, took, status, backend, trouble in
                      (words for words in split if len(words) == 5))

    def wait_used(self, backend, since_us):
        """Waits until a request that was due after `since_us` was answered by a backend; when, or None."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            used = [due for due, _, status, name, _ in self.requests() if status == 200 and name == backend and due > since_us]
            if used:
                return used[0]
            time.sleep(0.1)
        return None

    def finish(self):
        self.process.child.stdin.close()
        if self.process.child.wait(30) != 0:
            raise Failed(f"steady: {self.process.tail()}")
        return self.requests()


def run(peer, fault, rate, lasts_s, where, proxy_cores, load_cores, files):
    """The figures of one cell."""
    backends = faults.backends(load_cores, where if fault.distant else None)
    started = []
    try:
        process = start(peer, backends, proxy_cores, files)
        started.append(process)
        load = Steady(peer.port, rate, load_cores, process.log.parent)
        started.append(load.process)
        time.sleep(3.0)
        third = backends[2]
        begun = now_us()
        fault.begin(third, where)
        time.sleep(max(0.0, lasts_s - (now_us() - begun) / 1e6))
        seen = third.last_seen_us() if fault.can_tell else None
        ended = now_us()
        fault.end(third, where)
        used = load.wait_used(third.name, ended)
        time.sleep(1.0)
        return figures(load.finish(), begun, ended, seen, used)
    finally:
        for process in reversed(started):
            process.stop()
        for backend in backends:
            backend.stop()


def now_us():
    return time.time_ns() // 1000


def figures(requests, begun, ended, seen, used):
    window = begun + int(WINDOW_S * 1e6)
    before = [one for one in requests if one[0] + one[1] < begun]
    within = [one for one in requests if one[0] + one[1] >= begun and one[0] < window]
    after = [one for one in requests if window <= one[0] < ended]
    recovering = [one for one in requests if one[0] >= ended]
    touched = [one[0] for one in requests if begun <= one[0] < ended and (one[2] != 200 or one[1] > TOUCHED_US)]
    if seen:
        touched.append(seen)
    return {
        "requests": len(requests),
        "failed_before": failed(before),
        "failed_within": failed(within),
        "failed_after": failed(after),
        "failed_recovering": failed(recovering),
        "kinds": kinds(requests),
        "p99_before_ms": p99_ms(before),
        "p99_within_ms": p99_ms(within),
        "p99_after_ms": p99_ms(after),
        "left_out_s": max((max(touched) - begun) / 1e6, 0) if touched else None,
        "used_again_s": (used - ended) / 1e6 if used else None,
        "in_flight": sum(1 for due, took, *_ in requests if due <= begun < due + took),
    }


def failed(requests):
    return sum(1 for one in requests if one[2] != 200)


def kinds(requests):
    """How many failed in which way."""
    found = {}
    for _, _, status, _, trouble in requests:
        if status != 200:
            kind = str(status or trouble)
            found[kind] = found.get(kind, 0) + 1
    return found


def p99_ms(requests):
    took = sorted(one[1] for one in requests)
    return took[min(len(took) - 1, len(took) * 99 // 100)] / 1000 if took else None
