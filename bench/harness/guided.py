"""The program built with a profile of its own work: built to count, run under load, built again by what was counted."""

import contextlib
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from . import measure, peers, places, workloads
from .processes import Failed

FOLDER = places.TARGET / "guided"
PROGRAM = FOLDER / "foregate"
SECONDS = 1.5
# What most requests are like counts for more than the rest, where the compiler has to choose.
WEIGHTS = {"1k-64conn": 20, "tls-1k-64conn": 20}


def said(*command):
    """What a command prints."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def merger():
    """The compiler's own program that merges profiles; it is a part of the toolchain that has to be asked for."""
    host = next(line.split()[1] for line in said("rustc", "-vV").splitlines() if line.startswith("host:"))
    path = pathlib.Path(said("rustc", "--print", "sysroot").strip()) / "lib/rustlib" / host / "bin/llvm-profdata"
    if not path.exists():
        if not shutil.which("rustup"):
            raise Failed(f"{path} is missing: install the component llvm-tools of this Rust toolchain")
        said("rustup", "component", "add", "llvm-tools")
    return path, host


def build(folder, host, flag):
    """Builds the program with one more flag of the compiler; with a target named, it is not for build scripts."""
    environment = {**os.environ, "RUSTFLAGS": f"{os.environ.get('RUSTFLAGS', '')} {flag}".strip(), "CARGO_TARGET_DIR": str(folder)}
    command = ["cargo", "build", "--locked", "--profile", "release", "--quiet", "-p", "foregate", "--target", host]
    if subprocess.run(command, cwd=places.ROOT, env=environment).returncode != 0:
        raise Failed("the program does not build")
    return folder / host / "release/foregate"


@contextlib.contextmanager
def environment(**values):
    """Variables of this process, and so of those it starts, for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


def train(program, folder, say):
    """Runs the counting program under every kind of load but the paced one, each for a moment, with right answers.

    What it counts is left in a folder of the workload's name.
    """
    proxy_cores, load_cores = measure.cores()
    peer = next(peer for peer in peers.ALL if peer.name == "foregate")
    workloads.named(WEIGHTS)  # A weight for a workload that is none would be lost without a word.
    certificates, routes = workloads.named(["certs-10000", "routes-10000"])
    places.make_certificates(certificates.count)
    backend = measure.start_backend(load_cores)
    try:
        for workload in workloads.ALL:
            if not isinstance(workload, workloads.Load) or workload.rate:
                continue
            options = {"log": workload.log, "tls": workload.tls, "grpc": workload.grpc}
            with counted(program, folder / workload.name, say, peer, proxy_cores, **options):
                measure.load(workload.port(peer), load_cores, *workload.options, "--seconds", SECONDS)
        # What is never seen is taken for rare and built small and slow: large configurations are not to suffer.
        with counted(program, folder / certificates.name, say, peer, proxy_cores, tls=True, names=certificates.names()):
            # It takes connections before it has read everything, and would leave no counts if it were stopped there.
            measure.wait_serving(peer.tls_port, 60, tls=True)
        with counted(program, folder / routes.name, say, peer, proxy_cores, extra=routes.extra(0)) as process:
            measure.wait_serving(peer.port, 60)
            for generation in range(1, 4):
                routes.reload(peer, process, generation)
    finally:
        backend.stop()


@contextlib.contextmanager
def counted(program, folder, say, peer, cores, **options):
    """The counting program while it runs; what it counted must be in the folder once it has ended."""
    say(f"profile: {folder.name}")
    with environment(FOREGATE_BIN=program, LLVM_PROFILE_FILE=folder / "%m-%p.profraw"):
        process = peer.start(cores, suffix="-profile", **options)
        try:
            yield process
        finally:
            # It writes when it ends by itself.
            process.stop(60)
    if not list(folder.glob("*.profraw")):
        raise Failed(f"the counting program has left no counts of {folder.name}")


def weighted(folder):
    """What to tell the merging program: every file of counts and how much it counts for."""
    return [f"--weighted-input={WEIGHTS.get(file.parent.name, 1)},{file}" for file in sorted(folder.glob("*/*.profraw"))]


def make(say):
    """Builds what is not built yet; returns the program.

    A profile belongs to one counting program and to the way it is run here, and is kept by the digest of both: without a
    change in the sources nothing is run or built again.
    """
    merge, host = merger()
    say("building the program that counts")
    counting = build(FOLDER / "counting", host, f"-Cprofile-generate={FOLDER / 'profiles'}")
    digest = hashlib.sha256(counting.read_bytes() + pathlib.Path(__file__).read_bytes()).hexdigest()[:16]
    profile = FOLDER / f"{digest}.profdata"
    if not profile.exists():
        raw = FOLDER / "profiles"
        shutil.rmtree(raw, ignore_errors=True)
        train(counting, raw, say)
        for old in FOLDER.glob("*.profdata"):
            old.unlink()
        # Cargo tells builds apart by their flags and would keep those of every profile.
        shutil.rmtree(FOLDER / "by-profile", ignore_errors=True)
        said(str(merge), "merge", "--output", str(profile), *weighted(raw))
    say("building by the profile")
    built = build(FOLDER / "by-profile", host, f"-Cprofile-use={profile}")
    shutil.copy2(built, PROGRAM.with_suffix(".new"))
    PROGRAM.with_suffix(".new").replace(PROGRAM)
    return PROGRAM


def main():
    """The command `bench/guided`."""
    if places.build("foregate-bench"):
        sys.exit("guided: the bench programs do not build")
    try:
        print(make(lambda text: print(text, file=sys.stderr, flush=True)))
    except (Failed, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"guided: {error}")
