"""Where things are, and which ports the benchmark uses (loopback only, 18000-18999)."""

import os
import pathlib
import shutil
import subprocess

BENCH = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
WORK = BENCH / "work"
PEERS = BENCH / "peers"
INSTALLED = WORK / "peers"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))

# Which builds are run; `bench/resilience --debug` takes those of development.
PROFILE = "release"

BACKEND_PORTS = (18101, 18102)
BACKENDS = tuple(f"127.0.0.1:{port}" for port in BACKEND_PORTS)
PROXY_PORT_FIRST = 18200
ADMIN_PORT_FIRST = 18300
TLS_PORT_FIRST = 18400

# Certificates of a run, made anew by the program `certs`.
TLS = WORK / "tls"
TLS_CA = TLS / "ca.pem"


def program(name):
    """A release build of one of the project's own programs. FOREGATE_BIN names another foregate binary."""
    if name == "foregate" and os.environ.get("FOREGATE_BIN"):
        return pathlib.Path(os.environ["FOREGATE_BIN"])
    return TARGET / PROFILE / name


def build(*packages):
    """Builds release programs, each package by itself: together they would share features and be other programs.

    Returns the packages that do not build.
    """
    profile = "dev" if PROFILE == "debug" else PROFILE
    return [
        package for package in packages
        if subprocess.run(["cargo", "build", "--profile", profile, "--quiet", "-p", package], cwd=ROOT).returncode != 0
    ]


def make_certificates(many=0):
    """The certificates of a run: one for bench.example, and so many others."""
    if TLS_CA.exists() and (not many or (TLS / "many" / f"h{many - 1}.pem").exists()):
        return
    shutil.rmtree(TLS, ignore_errors=True)
    subprocess.run([program("certs"), "--out", TLS, "--many", str(many)], check=True, timeout=300)
