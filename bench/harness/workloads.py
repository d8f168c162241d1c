"""The workloads: what is asked of every proxy, and the three that look at Foregate's own scaling."""

import http.client
import os
import random
import signal
import subprocess
import sys
import time

from . import measure, places
from .processes import Failed, Process


class Load:
    """Interleaved rounds of one kind of load on all proxies."""

    def __init__(self, name, title, options, log=False, rate=None, large=False, strace_count=20000):
        self.name, self.title, self.options, self.log, self.rate = name, title, options, log, rate
        self.large, self.strace_count = large, strace_count

    def run(self, bench):
        """Returns per proxy its runs, memory and system calls."""
        results, running = {}, {}
        backend = measure.start_backend(bench.load_cores)
        try:
            for peer in bench.peers_of(self):
                if self.log and not peer.logs:
                    continue
                with bench.tolerating(self.name, peer.name):
                    running[peer.name] = (peer, peer.start(bench.proxy_cores, log=self.log, files=bench.files))
                    measure.verify(peer.port)
                    results[peer.name] = {"runs": []}
            for round_number in range(bench.rounds):
                for name, (peer, process) in running.items():
                    if name in results:
                        bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds}: {name}")
                        with bench.tolerating(self.name, name, results):
                            results[name]["runs"].append(self.one_run(bench, peer, process))
            for name, (peer, process) in running.items():
                if name in results:
                    results[name].update(process.memory())
                    bench.say(f"{self.name}: system calls of {name}")
                    with bench.tolerating(self.name, name):
                        results[name]["syscalls"] = measure.syscalls(
                            process, peer.port, bench.load_cores, self.options, bench.strace_count(self.strace_count)
                        )
        finally:
            for _, process in running.values():
                process.stop()
            backend.stop()
        return results

    def one_run(self, bench, peer, process):
        before = measure.backend_connections()
        options = [*self.options, "--pid", process.pid, "--warmup", bench.warmup, "--seconds", bench.seconds]
        if self.rate:
            options += ["--rate", self.rate]
        result = measure.load(peer.port, bench.load_cores, *options)
        result["backend_connections_opened"] = measure.backend_connections() - before - 1
        return result


class Idle:
    """User memory of a quiet keep-alive connection: the slope between a first and a last count of held connections."""

    name, large = "idle-10000", False
    first, last = 1000, 10000

    @property
    def title(self):
        return "Idle keep-alive connections: bytes of user memory each"

    def run(self, bench):
        results = {}
        last = min(self.last, bench.files - 500)
        backend = measure.start_backend(bench.load_cores)
        try:
            for peer in bench.peers_of(self):
                # The relay holds two sockets a connection, which no default limit of open files allows.
                if peer.name == "relay":
                    continue
                bench.say(f"{self.name}: {peer.name}")
                with bench.tolerating(self.name, peer.name):
                    results[peer.name] = self.hold(bench, peer, last)
        finally:
            backend.stop()
        return results

    def hold(self, bench, peer, last):
        process = peer.start(bench.proxy_cores, files=bench.files)
        holders = []
        try:
            measure.verify(peer.port)
            time.sleep(0.5)
            empty = process.memory()
            samples = []
            for more in (self.first, last - self.first):
                command = [places.program("load"), "--to", f"127.0.0.1:{peer.port}", "--idle", more]
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


class Workers:
    """Two workers against one, at the same rate for each worker."""

    name, large = "workers-2", False
    title = "Foregate: two workers against one"
    rate_each = 10000

    def run(self, bench):
        peer = next((peer for peer in bench.peers if peer.name == "foregate"), None)
        if peer is None:
            return {}
        usable = sorted(os.sched_getaffinity(0))
        # With four cores the load gets its own; with two, both sides share them, in both cases alike.
        roomy = len(usable) >= 4
        proxy_cores, load_cores = (set(usable[:2]), set(usable[2:])) if roomy else (set(usable), set(usable))
        results = {str(workers): {"runs": []} for workers in (1, 2)}
        backend = measure.start_backend(load_cores)
        try:
            for round_number in range(bench.rounds):
                for workers in (1, 2):
                    bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds}: {workers}")
                    process = peer.start(proxy_cores, files=bench.files, workers=workers)
                    try:
                        common = ["--connections", 64 * workers, "--pid", process.pid,
                                  "--warmup", bench.warmup, "--seconds", bench.seconds]
                        paced = measure.load(peer.port, load_cores, *common, "--rate", self.rate_each * workers)
                        paced["saturated"] = measure.load(peer.port, load_cores, *common)
                        results[str(workers)]["runs"].append(paced)
                    finally:
                        process.stop()
        finally:
            backend.stop()
        results["own_cores_for_load"] = roomy
        return results


class Routes:
    """10,000 routes over 1,000 hosts against one route, and how long their reload takes."""

    name, large = "routes-10000", False
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
            for round_number in range(bench.rounds):
                for name, (other, process) in running.items():
                    bench.say(f"{self.name}: round {round_number + 1} of {bench.rounds}: {name}")
                    results[name]["runs"].append(measure.load(
                        other.port, bench.load_cores, "--connections", 64, "--targets", targets, "--pid", process.pid,
                        "--warmup", bench.warmup, "--seconds", bench.seconds))
            other, process = running["many"]
            results["reload_ms"] = [self.reload(other, process, generation) for generation in range(1, bench.rounds + 1)]
        finally:
            for _, process in running.values():
                process.stop()
            backend.stop()
        return results

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
    Idle(),
    Workers(),
    Routes(),
]


def named(names):
    """The workloads of these names, in the fixed order."""
    known = {workload.name: workload for workload in ALL}
    for name in names:
        if name not in known:
            sys.exit(f"compare: no workload {name}; there are: {' '.join(known)}")
    return [workload for workload in ALL if workload.name in names]
