"""The three backends of a resilience run, and what can befall the third."""

import os
import signal
import subprocess
import time

from . import network, places
from .processes import Failed, Process

NAMES = ("1", "2", "3")
PORTS = (18111, 18112, 18113)


class Backend:
    """One `moody` backend, which may be dead."""

    def __init__(self, name, port, cores, host="127.0.0.1", within=()):
        self.name, self.port, self.cores, self.host, self.within = name, port, cores, host, list(within)
        self.start()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def start(self):
        command = [*self.within, places.program("moody"), "--listen", self.address, "--name", self.name]
        self.process = Process(command, self.cores, places.WORK / "run" / f"moody-{self.name}",
                               stdin=subprocess.PIPE, name="moody", output=subprocess.PIPE)
        self.process.wait_ready(self.port, host=self.host)

    def tell(self, command):
        """Sends a command; returns what it says to it."""
        child = self.process.child
        child.stdin.write(f"{command}\n".encode())
        child.stdin.flush()
        line = child.stdout.readline().decode().strip()
        if not line:
            raise Failed(f"backend {self.name} does not obey")
        return line

    def last_seen_us(self):
        """When the last request came since the last command, or None."""
        count, last = self.tell("seen").split()
        return int(last) if int(count) else None

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.child.kill()
        self.process.child.wait()

    def stop(self):
        if self.process.child.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.stop()


class Fault:
    """Something that befalls a backend and goes away again."""

    name = ""
    about = ""
    # The backend can be asked, while it lasts, which requests came.
    can_tell = True
    distant = False

    def begin(self, backend, where):
        backend.tell(self.mood)

    def end(self, backend, where):
        backend.tell("well")


class Kill(Fault):
    name, about, can_tell = "kill", "killed, and started again when the fault is over", False

    def begin(self, backend, where):
        backend.kill()

    def end(self, backend, where):
        backend.start()


class Restart(Fault):
    name, about, can_tell = "restart", "killed and started again after half a second", False

    def begin(self, backend, where):
        backend.kill()
        time.sleep(0.5)
        backend.start()

    def end(self, backend, where):
        pass


class Freeze(Fault):
    name, about, can_tell = "freeze", "stopped (SIGSTOP): the kernel still accepts, nothing answers", False

    def begin(self, backend, where):
        backend.signal(signal.SIGSTOP)

    def end(self, backend, where):
        backend.signal(signal.SIGCONT)


class Slow(Fault):
    name, about, mood = "slow", "answers 500 ms later, which is within a try's time", "slow 500"


class Reset(Fault):
    name, about, mood = "reset", "resets new connections when they are accepted, others when a request comes", "reset"


class Cut(Fault):
    name, about, mood = "cut", "sends half of an answer and resets: what has begun can't be asked elsewhere", "cut"


class HalfDead(Fault):
    name, about, mood = "half-dead", "accepts, and answers everything with 503", "unable"


class BlackHole(Fault):
    name, about, can_tell, distant = "black-hole", "a router between drops every packet for it", False, True

    def begin(self, backend, where):
        where.swallow()

    def end(self, backend, where):
        where.pass_on()


ALL = [Kill(), Freeze(), Slow(), Reset(), Cut(), Restart(), HalfDead(), BlackHole()]
QUICK = {"kill", "freeze", "reset", "half-dead"}


def backends(cores, distant=None):
    """Three backends; the third lives on the other side of a network if there is one."""
    started = [Backend(name, port, cores) for name, port in zip(NAMES[:2], PORTS)]
    host, within = (network.FAR, distant.within()) if distant else ("127.0.0.1", ())
    return [*started, Backend(NAMES[2], PORTS[2], cores, host, within)]
