"""Starting, watching and ending processes: pinned to cores, ended by their own id, never by name."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time

PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A process that did not do what it was started for."""


def open_files():
    """The number of files a started process may open: the hard limit, raised if that is allowed."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < 65536:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (65536, 65536))
            hard = 65536
        except (ValueError, OSError):
            pass
    if hard == resource.RLIM_INFINITY:
        hard = 1048576
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard, 1048576)


class Process:
    """One started program and the processes it starts."""

    def __init__(self, command, cores, directory, environment=None, stdin=subprocess.DEVNULL, name=None, output=None):
        self.name = name or os.path.basename(str(command[0]))
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"{self.name}.out"
        libc = ctypes.CDLL(None, use_errno=True)

        def before_exec():
            os.sched_setaffinity(0, cores)
            # A harness that dies takes what it started with it.
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [str(word) for word in command],
                stdin=stdin,
                stdout=output or log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                preexec_fn=before_exec,
                start_new_session=True,
            )
        self.pid = self.child.pid

    def wait_ready(self, port, seconds=20.0, host="127.0.0.1"):
        """Returns once the port takes connections; readiness is seen, not guessed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise Failed(f"{self.name} ended with {self.child.returncode}: {self.tail()}")
            try:
                socket.create_connection((host, port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failed(f"{self.name} does not listen on port {port} after {seconds:.0f} s: {self.tail()}")

    def tail(self):
        """The last lines it has written."""
        try:
            return " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-4:])
        except OSError:
            return ""

    def pids(self):
        """Its own id and those of its descendants."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as stat:
                        parent = int(stat.read().rsplit(")", 1)[1].split()[1])
                except (OSError, IndexError, ValueError):
                    continue
                children.setdefault(parent, []).append(int(entry))
        found = [self.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def memory(self):
        """Bytes of resident memory, all and anonymous, summed over its processes."""
        totals = {"VmRSS": 0, "RssAnon": 0}
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/status") as status:
                    for line in status:
                        name, _, value = line.partition(":")
                        if name in totals:
                            totals[name] += int(value.split()[0]) * 1024
            except OSError:
                continue
        return {"rss": totals["VmRSS"], "anonymous": totals["RssAnon"]}

    def stop(self, seconds=5.0):
        """Ends it: politely, then not."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in reversed(self.pids()):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.child.wait()
        return self.child.returncode
