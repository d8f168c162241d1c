"""Drives `foregate top` in a pseudo-terminal: what is drawn, what keys do, what is left behind."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

PATIENCE = 20


def read_until(master: int, wanted: bytes, seen: bytearray) -> None:
    """Reads until something was drawn after what was seen before."""
    fresh = bytearray()
    until = time.monotonic() + PATIENCE
    while wanted not in fresh:
        left = until - time.monotonic()
        if left <= 0 or not select.select([master], [], [], left)[0]:
            sys.exit(f"no {wanted!r} in {bytes(fresh)!r}")
        try:
            fresh += os.read(master, 65536)
        except OSError:
            sys.exit(f"ended before {wanted!r}: {bytes(fresh)!r}")
    seen += fresh


def main() -> None:
    program, admin = sys.argv[1:]
    child, master = pty.fork()
    if child == 0:
        os.execv(program, [program, "top", "--admin", admin])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
    seen = bytearray()
    read_until(master, b"by rate", seen)
    assert b"\x1b[?1049h" in seen, bytes(seen)
    before = termios.tcgetattr(master)[3] & termios.ECHO
    assert not before, "what is typed is not echoed"
    os.write(master, b"s")
    read_until(master, b"by errors", seen)
    os.write(master, b"/")
    read_until(master, b"seek: _", seen)
    os.write(master, b"nobody\r")
    read_until(master, b"only nobody", seen)
    os.write(master, b"\x1b")
    read_until(master, b"ENDPOINT", seen)
    os.write(master, b"q")
    left = bytearray()
    while True:
        try:
            more = os.read(master, 65536)
        except OSError:
            break
        if not more:
            break
        left += more
    assert b"\x1b[?1049l" in left and b"\x1b[?25h" in left, bytes(left)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status


main()
