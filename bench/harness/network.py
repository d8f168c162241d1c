"""A network in which packets can be made to vanish: two namespaces, a backend behind a router that forgets its way.

    this machine  ── 10.213.76.0/30 ──  router  ── 10.213.76.4/30 ──  backend
"""

import contextlib
import os
import shutil
import subprocess

NEAR, ROUTER_NEAR, ROUTER_FAR, FAR = (f"10.213.76.{last}" for last in (1, 2, 5, 6))


class Impossible(Exception):
    """Why there can be no such network here."""


class Network:
    """The namespaces of one run; removed with all that is in them by `end`."""

    def __init__(self):
        tag = f"{os.getpid() & 0xffff:x}"
        self.router, self.far, self.link = f"fgr{tag}", f"fgb{tag}", f"fgv{tag}"
        if os.geteuid() != 0:
            raise Impossible("namespaces need root")
        if not shutil.which("ip"):
            raise Impossible("there is no program `ip` (iproute2)")
        try:
            self.make()
        except Impossible:
            self.end()
            raise

    def make(self):
        run("netns", "add", self.router)
        run("netns", "add", self.far)
        run("link", "add", self.link, "type", "veth", "peer", "name", "near", "netns", self.router)
        run("-n", self.router, "link", "add", "far", "type", "veth", "peer", "name", "only", "netns", self.far)
        run("addr", "add", f"{NEAR}/30", "dev", self.link)
        run("-n", self.router, "addr", "add", f"{ROUTER_NEAR}/30", "dev", "near")
        run("-n", self.router, "addr", "add", f"{ROUTER_FAR}/30", "dev", "far")
        run("-n", self.far, "addr", "add", f"{FAR}/30", "dev", "only")
        run("link", "set", "dev", self.link, "up")
        for name in ("near", "far", "lo"):
            run("-n", self.router, "link", "set", "dev", name, "up")
        for name in ("only", "lo"):
            run("-n", self.far, "link", "set", "dev", name, "up")
        run("netns", "exec", self.router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        run("-n", self.far, "route", "add", "default", "via", ROUTER_FAR)
        run("route", "add", f"{FAR}/32", "via", ROUTER_NEAR)

    def within(self):
        """What stands before a command that is to run on the backend's machine."""
        return ["ip", "netns", "exec", self.far]

    def swallow(self):
        """From now on the router drops what is meant for the backend, and tells nobody."""
        run("-n", self.router, "route", "add", "blackhole", f"{FAR}/32")

    def pass_on(self):
        run("-n", self.router, "route", "del", "blackhole", f"{FAR}/32")

    def end(self):
        for words in (["link", "del", self.link], ["netns", "del", self.router], ["netns", "del", self.far]):
            with contextlib.suppress(Impossible):
                run(*words)


def run(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=20)
    if done.returncode != 0:
        raise Impossible(f"ip {' '.join(words)}: {done.stderr.strip()}")
