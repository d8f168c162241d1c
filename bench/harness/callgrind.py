"""User instructions, counted by valgrind's callgrind: they don't move with the machine's noise."""

import re
import shutil
import subprocess

from . import peers, places
from .processes import Failed


def have_valgrind():
    """Whether valgrind is here, after trying to install it."""
    if not shutil.which("valgrind"):
        peers.apt_install("valgrind")
    return shutil.which("valgrind") is not None


def under(directory, trace_children=False):
    """The command that a program is put behind; totals only, nothing per instruction or line."""
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("callgrind.out.*"):
        old.unlink()
    return [
        "valgrind", "--tool=callgrind", "--dump-instr=no", "--dump-line=no", "--compress-strings=yes",
        f"--trace-children={'yes' if trace_children else 'no'}",
        f"--callgrind-out-file={directory}/callgrind.out.%p",
    ]


def total(directory, log):
    """All instructions of the run, summed over its processes; a run that died says why."""
    if re.search(r"Unrecognised instruction|unhandled instruction bytes|SIGILL|Illegal opcode", log):
        raise Failed(
            "valgrind does not know an instruction of this build (illegal instruction): it is older than the processor"
            " features compiled in. Build without -C target-cpu=native, or use a newer valgrind"
        )
    counts = []
    for file in directory.glob("callgrind.out.*"):
        with open(file, errors="replace") as lines:
            for line in lines:
                found = re.match(r"(?:totals|summary): (\d+)", line)
                if found:
                    counts.append(int(found[1]))
                    break
    if not counts:
        raise Failed(f"callgrind has left no total; its last words: {' | '.join(log.strip().splitlines()[-3:])}")
    return sum(counts)


def forget(pids):
    """Has running programs begin to count anew."""
    for pid in pids:
        done = subprocess.run(["callgrind_control", "--zero", str(pid)], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failed(f"callgrind_control: {done.stdout.strip()} {done.stderr.strip()}")


def rustc_version():
    done = subprocess.run(["rustc", "--version"], capture_output=True, text=True)
    return done.stdout.strip()


def per_turn(case, turns):
    """User instructions of one turn of a case of the program `micro`."""
    counts = []
    for count in (turns, 2 * turns):
        out = places.WORK / "run" / "callgrind-micro"
        command = [*under(out), str(places.program("micro")), "--case", case, "--count", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        counts.append(total(out, done.stderr))
        if done.returncode != 0:
            raise Failed(f"{case}: {done.stderr.strip().splitlines()[-1]}")
    return (counts[1] - counts[0]) / turns
