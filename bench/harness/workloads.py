"""The workloads: what is asked of every proxy, and the three that look at Foregate's own scaling."""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time

from . import callgrind, counting, measure, places
from .processes import Failed, Process


class Load:
    """Interleaved rounds of one kind of load on all proxies."""

    def __init__(self, name, title, options, log=False, rate=None, large=False, strace_count=20000, tls=False, grpc=False):
        self.name, self.title, self.options, self.log, self.rate = name, title, options, log, rate
        self.large, self.strace_count, self.tls, self.grpc = large, strace_count, tls, grpc
        if tls:
            self.options = ["--tls", places.TLS_CA, *options]

    def port(self, peer):
        return peer.tls_port if self.tls else peer.port

    def run(self, bench):
        """Returns per proxy its runs, memory and system calls."""
        results, running = {}, {}
        if self.tls:
            places.make_certificates()
        backend = measure.start_backend(bench.load_cores)
        try:
            for peer in bench.peers_of(self):
                if self.tls and not peer.tls:
                    continue
                with bench.tolerating(self.name, peer.name):
                    running[peer.name] = (peer, peer.start(
                        bench.proxy_cores, log=self.log, files=bench.files, tls=self.tls, grpc=self.grpc))
                    self.verify(bench, peer)
                    results[peer.name] = {"runs": []}
            for round_number in range(bench.rounds_of(self)):
                for name, (peer, process) in running.items():
                    if name in results:
                        bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds_of(self)}: {name}")
                        with bench.tolerating(self.name, name, results):
                            results[name]["runs"].append(self.one_run(bench, peer, process))
            for name, (peer, process) in running.items():
                if name in results:
                    results[name].update(process.memory())
                    if bench.quick and self.tls:
                        continue
                    bench.say(f"{self.name}: system calls of {name}")
                    with bench.tolerating(self.name, name):
                        results[name]["syscalls"] = measure.syscalls(
                            process, self.port(peer), bench.load_cores, self.options, bench.strace_count(self.strace_count)
                        )
        finally:
            for _, process in running.values():
                process.stop()
            backend.stop()
        return results

    def verify(self, bench, peer):
        """Right answers first. The load generator looks at every answer too, and alone knows HTTP/2 and gRPC."""
        if not self.grpc:
            measure.verify(self.port(peer), self.tls)
        measure.load(self.port(peer), bench.load_cores, *self.options, "--count", 64)

    def one_run(self, bench, peer, process):
        before = measure.backend_connections()
        options = [*self.options, "--pid", process.pid, "--warmup", bench.warmup, "--seconds", bench.seconds]
        if self.rate:
            options += ["--rate", self.rate]
        result = measure.load(self.port(peer), bench.load_cores, *options)
        result["backend_connections_opened"] = measure.backend_connections() - before - 1
        return result


class Idle:
    """User memory of a quiet keep-alive connection: the slope between a first and a last count of held connections."""

    large, grpc = False, False
    first, last = 1000, 10000

    def __init__(self, name, title, tls=False):
        self.name, self.title, self.tls = name, title, tls

    def run(self, bench):
        results = {}
        if self.tls:
            places.make_certificates()
        last = bench.idle_count(self.last)
        backend = measure.start_backend(bench.load_cores)
        try:
            for peer in bench.peers_of(self):
                # The relay holds two sockets a connection, which no default limit of open files allows.
                if peer.name == "relay" or (self.tls and not peer.tls):
                    continue
                bench.say(f"{self.name}: {peer.name}")
                with bench.tolerating(self.name, peer.name):
                    results[peer.name] = self.hold(bench, peer, last)
        finally:
            backend.stop()
        return results

    def hold(self, bench, peer, last):
        process = peer.start(bench.proxy_cores, files=bench.files, tls=self.tls)
        port = peer.tls_port if self.tls else peer.port
        encrypted = ["--tls", places.TLS_CA] if self.tls else []
        holders = []
        try:
            measure.verify(port, self.tls)
            time.sleep(0.5)
            empty = process.memory()
            samples = []
            for more in (self.first, last - self.first):
                command = [places.program("load"), "--to", f"127.0.0.1:{port}", "--idle", more, *encrypted]
                holder = Process(command, bench.load_cores, places.WORK / "run" / f"idle-{more}", stdin=subprocess.PIPE, name="load")
                holders.append(holder)
                self.wait_held(holder)
                time.sleep(bench.settle)
                samples.append(process.memory())
            opened = sum(self.release(holder) for holder in holders)
            if opened != last:
                raise Failed(f"only {opened} of {last} connections were kept open")
        finally:
            for holder in holders:
                holder.stop()
            process.stop()
        return {
            "connections": last,
            "bytes_each": (samples[1]["anonymous"] - samples[0]["anonymous"]) / (last - self.first),
            "rss_empty": empty["rss"],
            "rss_full": samples[1]["rss"],
        }

    def wait_held(self, holder, seconds=60):
        end = time.monotonic() + seconds
        while '"held"' not in holder.log.read_text():
            if holder.child.poll() is not None or time.monotonic() > end:
                raise Failed(f"idle connections: {holder.tail()}")
            time.sleep(0.05)

    def release(self, holder):
        holder.child.stdin.close()
        holder.child.wait(30)
        found = holder.log.read_text().rpartition('"open": ')[2]
        return int(found.strip(" }\n") or 0)


class Certificates:
    """10,000 certificates against one: start, memory, and the choice by name in full handshakes with random names."""

    name, large, tls, grpc = "certs-10000", False, True, False
    title = "10,000 certificates against one"
    count = 10000

    def run(self, bench):
        places.make_certificates(self.count)
        targets = self.targets()
        results, running = {}, {}
        backend = measure.start_backend(bench.load_cores)
        try:
            for peer in bench.peers_of(self):
                if not peer.certificates:
                    continue
                with bench.tolerating(self.name, peer.name):
                    bench.say(f"{self.name}: start of {peer.name}")
                    pair, result = {}, {"one": {"runs": []}, "many": {"runs": []}}
                    running[peer.name] = pair
                    for side in ("one", "many"):
                        pair[side], result[side]["start_ms"] = self.start(bench, peer, side)
                        result[side]["memory"] = pair[side][1].memory()["anonymous"]
                    results[peer.name] = result
            for round_number in range(bench.rounds_of(self)):
                for name in list(results):
                    for side, (peer, process) in running[name].items():
                        bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds_of(self)}: {name} {side}")
                        with bench.tolerating(self.name, name, results):
                            runs = results[name][side]["runs"] if name in results else []
                            runs.append(self.one_run(bench, peer, process, targets if side == "many" else None))
        finally:
            for pair in running.values():
                for _, process in pair.values():
                    process.stop()
            backend.stop()
        return results

    def names(self):
        folder = places.TLS / "many"
        return [(f"h{n}.bench.example", folder / f"h{n}.pem", folder / f"h{n}.key") for n in range(self.count)]

    def targets(self):
        lines = [f"{name} /1k" for name, _, _ in self.names()]
        random.Random(2).shuffle(lines)
        file = places.WORK / "run" / "names.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
        return file

    def start(self, bench, peer, side):
        """The started proxy, and milliseconds from its start to the first answer under the last certificate's name."""
        other = type(peer)()
        other.index = type(peer).index + (50 if side == "many" else 0)
        began = time.perf_counter()
        process = other.start(bench.proxy_cores, files=bench.files, suffix=f"-{side}", tls=True,
                              names=self.names() if side == "many" else ())
        try:
            host = f"h{self.count - 1}.bench.example" if side == "many" else "bench.example"
            measure.wait_serving(other.tls_port, seconds=60, tls=True, host=host)
        except Failed:
            process.stop()
            raise
        return (other, process), (time.perf_counter() - began) * 1000

    def one_run(self, bench, peer, process, targets):
        asked = ["--targets", targets] if targets else []
        return measure.load(
            peer.tls_port, bench.load_cores, "--tls", places.TLS_CA, "--connections", 32, "--per-connection", 1,
            "--handshakes", "full", *asked, "--pid", process.pid, "--warmup", bench.warmup, "--seconds", bench.seconds)


class Workers:
    """Two workers against one and against two processes of one worker each, which share nothing."""

    name, large, tls, grpc = "workers-2", False, False, False
    title = "Foregate: two workers against one"
    rate_each = 10000
    counted_requests = 3000

    def run(self, bench):
        peer = next((peer for peer in bench.peers if peer.name == "foregate"), None)
        if peer is None:
            return {}
        usable = sorted(os.sched_getaffinity(0))
        # With four cores the load gets its own; with two, both sides share them, in all cases alike.
        roomy = len(usable) >= 4
        proxy_cores, load_cores = (set(usable[:2]), set(usable[2:])) if roomy else (set(usable), set(usable))
        sides = {"1": ([1], 1), "2": ([2], 2), "apart": ([1, 1], 2)}
        results = {side: {"runs": []} for side in sides}
        backend = measure.start_backend(load_cores)
        try:
            for round_number in range(bench.rounds_of(self)):
                for side, (workers, connections) in sides.items():
                    bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds_of(self)}: {side}")
                    running = []
                    try:
                        self.start(bench, peer, proxy_cores, workers, running)
                        results[side]["runs"].append(self.one_run(bench, load_cores, running, connections))
                    finally:
                        for _, process in running:
                            process.stop()
        finally:
            backend.stop()
        results["own_cores_for_load"] = roomy
        if not bench.quick and callgrind.have_valgrind():
            bench.say(f"{self.name}: instructions")
            with bench.tolerating(self.name, "the count of instructions"):
                plain = counting.variant("plain")
                results["instructions"] = {
                    workers: counting.per_request(peer, plain, self.counted_requests, int(workers), scale=2)
                    for workers in ("1", "2")
                }
        return results

    def start(self, bench, peer, cores, workers, running):
        """Adds the processes, each on a port of its own, for none takes one on which another listens."""
        for number, count in enumerate(workers):
            other = type(peer)()
            other.index = type(peer).index + 50 * number
            running.append((other, other.start(cores, files=bench.files, workers=count, suffix=f"-worker-{number}")))
            running[-1][1].wait_ready(other.admin_port)

    def one_run(self, bench, load_cores, running, scale):
        (first, _), *rest = running
        others = sum((["--to", f"127.0.0.1:{other.port}"] for other, _ in rest), [])
        watched = sum((["--pid", process.pid] for _, process in running), [])
        common = [*others, "--connections", 64 * scale, *watched, "--warmup", bench.warmup, "--seconds", bench.seconds]
        paced = measure.load(first.port, load_cores, *common, "--rate", self.rate_each * scale)
        paced["saturated"] = measure.load(first.port, load_cores, *common)
        return paced


class Routes:
    """10,000 routes over 1,000 hosts against one route, and how long their reload takes."""

    name, large, tls, grpc = "routes-10000", False, False, False
    title = "Foregate: 10,000 routes over 1,000 hosts against one route"
    hosts, routes_each = 1000, 10

    def extra(self, generation):
        lines = ['', '[sites."reload.bench.example"]', '[[sites."reload.bench.example".routes]]', 'name = "generation"',
                 'path = { exact = "/generation" }', f'respond = {{ status = 200, body = "{generation}" }}', ""]
        for host in range(self.hosts):
            site = f'sites."h{host}.bench.example"'
            lines.append(f"[{site}]")
            for route in range(self.routes_each):
                lines += [f"[[{site}.routes]]", f'name = "service-{route}"',
                          f'path = {{ prefix = "/service-{route}" }}', 'upstream = "app"']
        return "\n".join(lines) + "\n"

    def targets(self):
        lines = [f"h{host}.bench.example /service-{route}/1k"
                 for host in range(self.hosts) for route in range(self.routes_each)]
        # The same shuffled order for both sides and every run.
        random.Random(1).shuffle(lines)
        file = places.WORK / "run" / "targets.txt"
        file.write_text("\n".join(lines) + "\n")
        return file

    def run(self, bench):
        peer = next((peer for peer in bench.peers if peer.name == "foregate"), None)
        if peer is None:
            return {}
        results = {"one": {"runs": []}, "many": {"runs": []}}
        running = {}
        backend = measure.start_backend(bench.load_cores)
        targets = self.targets()
        try:
            for name, extra in (("one", None), ("many", self.extra(0))):
                port = type(peer).index
                other = type(peer)()
                other.index = port if name == "one" else 90
                running[name] = (other, other.start(bench.proxy_cores, files=bench.files, extra=extra, suffix=f"-{name}"))
            for round_number in range(bench.rounds_of(self)):
                for name, (other, process) in running.items():
                    bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds_of(self)}: {name}")
                    results[name]["runs"].append(measure.load(
                        other.port, bench.load_cores, "--connections", 64, "--targets", targets, "--pid", process.pid,
                        "--warmup", bench.warmup, "--seconds", bench.seconds))
            other, process = running["many"]
            results["alone"] = self.alone(bench)
            results["reload_ms"] = [self.reload(other, process, generation) for generation in range(1, bench.rounds + 1)]
        finally:
            for _, process in running.values():
                process.stop()
            backend.stop()
        return results

    def alone(self, bench):
        """The choice of a route alone: by the clock in one process, and in user instructions."""
        bench.say(f"{self.name}: the choice alone")
        micro = str(places.program("micro"))
        done = subprocess.run([micro, "--clock", str(40 if bench.quick else 200)], capture_output=True, text=True,
                              timeout=300, preexec_fn=lambda: os.sched_setaffinity(0, bench.proxy_cores))
        if done.returncode != 0:
            raise Failed(f"micro --clock: {done.stderr.strip()}")
        found = json.loads(done.stdout)
        if not bench.quick and callgrind.have_valgrind():
            found["instructions"] = {side: callgrind.per_turn(f"walk-{name}", 10000)
                                     for side, name in (("one", "1"), ("many", "10000"))}
        return found

    def reload(self, peer, process, generation):
        """Milliseconds from the signal to the first answer from the new configuration, on a kept connection."""
        file = process.directory / "foregate.toml"
        text = file.read_text()
        file.write_text(text.replace(f'body = "{generation - 1}"', f'body = "{generation}"'))
        connection = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=5)
        try:
            began = time.perf_counter()
            os.kill(process.pid, signal.SIGHUP)
            while time.perf_counter() - began < 20:
                connection.request("GET", "/generation", headers={"Host": "reload.bench.example"})
                if connection.getresponse().read() == str(generation).encode():
                    return (time.perf_counter() - began) * 1000
                time.sleep(0.001)
        finally:
            connection.close()
        raise Failed(f"the reload does not take effect: {process.tail()}")


ALL = [
    Load("1k-64conn", "1 KB answers, 64 connections", ["--connections", 64]),
    Load("1k-64conn-log", "1 KB answers, 64 connections, access log on", ["--connections", 64], log=True),
    Load("1k-rate", "1 KB answers, 64 connections, 15,000 requests/s asked of each", ["--connections", 64], rate=15000),
    Load("1k-512conn", "1 KB answers, 512 connections", ["--connections", 512]),
    Load("64k-32conn", "64 KB answers, 32 connections", ["--connections", 32, "--target", "/64k"], large=True, strace_count=5000),
    Load("10m-4conn", "10 MB answers, 4 connections",
         ["--connections", 4, "--target", "/10m", "--check-every", 8], large=True, strace_count=60),
    Load("upload-1m-16conn", "1 MB uploads, 16 connections",
         ["--connections", 16, "--target", "/upload", "--upload", "1m"], large=True, strace_count=500),
    Idle("idle-10000", "Idle keep-alive connections: bytes of user memory each"),
    Load("tls-1k-64conn", "TLS 1.3, 1 KB answers, 64 keep-alive connections", ["--connections", 64], tls=True),
    Load("tls-1k-rate", "TLS 1.3, 1 KB answers, 64 keep-alive connections, 10,000 requests/s asked of each",
         ["--connections", 64], tls=True, rate=10000),
    Load("tls-handshake", "TLS 1.3, full handshake and one request on each connection",
         ["--connections", 32, "--per-connection", 1, "--handshakes", "full"], tls=True, strace_count=2000),
    Load("tls-handshake-rate", "TLS 1.3, 1,500 full handshakes/s asked of each, one request on each connection",
         ["--connections", 32, "--per-connection", 1, "--handshakes", "full"], tls=True, rate=1500, strace_count=2000),
    Load("tls-resumed", "TLS 1.3, handshake resumed by ticket and one request on each connection",
         ["--connections", 32, "--per-connection", 1, "--handshakes", "resumed"], tls=True, strace_count=2000),
    Load("tls-10m-4conn", "TLS 1.3, 10 MB answers, 4 connections",
         ["--connections", 4, "--target", "/10m", "--check-every", 8], tls=True, large=True, strace_count=60),
    Load("h2-16x32", "HTTP/2 over TLS, 1 KB answers, 16 connections of 32 streams, HTTP/1.1 to the backends",
         ["--protocol", "h2", "--connections", 16, "--streams", 32], tls=True),
    Load("grpc-unary", "gRPC-shaped unary calls of 100 bytes, 16 connections of 32 streams over TLS, HTTP/2 to the backends",
         ["--protocol", "h2", "--connections", 16, "--streams", 32, "--grpc", 100], tls=True, grpc=True),
    Idle("tls-idle", "Idle TLS 1.3 keep-alive connections: bytes of user memory each", tls=True),
    Certificates(),
    Workers(),
    Routes(),
]


def quick():
    """What a quick run has time for."""
    return [workload for workload in ALL if workload.name not in ("tls-1k-rate", "tls-handshake-rate")]


def named(names):
    """The workloads of these names, in the fixed order."""
    known = {workload.name: workload for workload in ALL}
    for name in names:
        if name not in known:
            sys.exit(f"compare: no workload {name}; there are: {' '.join(known)}")
    return [workload for workload in ALL if workload.name in names]
