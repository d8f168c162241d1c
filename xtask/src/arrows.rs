//! The rooms and the arrows between them, as ARCHITECTURE.md has them, against `cargo metadata`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::finding::Finding;

/// What a room may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pure decisions: no runtime, sockets, files, clocks or locks.
    Core,
    /// A shell around them.
    Io,
    /// Development only: may use everything, and no room uses it but in its tests.
    Dev,
}

/// A workspace crate and the workspace crates it may use.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) package: &'static str,
    pub(crate) kind: Kind,
    may_use: &'static [&'static str],
}

const fn room(package: &'static str, kind: Kind, may_use: &'static [&'static str]) -> Room {
    Room {
        package,
        kind,
        may_use,
    }
}

const MESSAGE: &str = "foregate-message";
const WIRE: &str = "foregate-wire";
const ROUTE: &str = "foregate-route";
const POLICY: &str = "foregate-policy";
const BALANCE: &str = "foregate-balance";
const UPSTREAM: &str = "foregate-upstream";
const DOWNSTREAM: &str = "foregate-downstream";
const EXCHANGE: &str = "foregate-exchange";
const CONFIG: &str = "foregate-config";
const SNAPSHOT: &str = "foregate-snapshot";
const TELEMETRY: &str = "foregate-telemetry";
const EVENTLOOP: &str = "foregate-eventloop";
const TLS: &str = "foregate-tls";
const ACME: &str = "foregate-acme";
const ADMIN: &str = "foregate-admin";
const SERVER: &str = "foregate-server";
const TESTKIT: &str = "foregate-testkit";

/// Anything not listed is forbidden. A new crate needs a row here and in ARCHITECTURE.md.
pub(crate) const ROOMS: &[Room] = &[
    room(MESSAGE, Kind::Core, &[]),
    room(WIRE, Kind::Core, &[MESSAGE]),
    room(ROUTE, Kind::Core, &[MESSAGE]),
    room(POLICY, Kind::Core, &[MESSAGE]),
    room(BALANCE, Kind::Core, &[MESSAGE]),
    room(CONFIG, Kind::Core, &[]),
    room(
        SNAPSHOT,
        Kind::Core,
        &[MESSAGE, WIRE, CONFIG, ROUTE, POLICY, BALANCE],
    ),
    room(TELEMETRY, Kind::Io, &[]),
    room(EVENTLOOP, Kind::Io, &[TELEMETRY]),
    room(TLS, Kind::Io, &[MESSAGE, TELEMETRY, EVENTLOOP]),
    room(ACME, Kind::Io, &[TELEMETRY]),
    room(
        DOWNSTREAM,
        Kind::Io,
        &[MESSAGE, WIRE, TLS, TELEMETRY, EVENTLOOP],
    ),
    room(
        UPSTREAM,
        Kind::Io,
        &[MESSAGE, WIRE, TLS, BALANCE, TELEMETRY, EVENTLOOP],
    ),
    room(
        EXCHANGE,
        Kind::Io,
        &[
            MESSAGE, SNAPSHOT, ROUTE, POLICY, BALANCE, UPSTREAM, TELEMETRY, EVENTLOOP,
        ],
    ),
    room(ADMIN, Kind::Io, &[MESSAGE, TELEMETRY]),
    room(
        SERVER,
        Kind::Io,
        &[
            MESSAGE, WIRE, ROUTE, POLICY, BALANCE, UPSTREAM, DOWNSTREAM, EXCHANGE, CONFIG,
            SNAPSHOT, TELEMETRY, ADMIN, TLS, ACME, EVENTLOOP,
        ],
    ),
    room(
        "foregate",
        Kind::Io,
        &[MESSAGE, SERVER, CONFIG, SNAPSHOT, TELEMETRY],
    ),
    room(TESTKIT, Kind::Dev, &[]),
    room("foregate-bench", Kind::Dev, &[]),
    room("foregate-fuzz", Kind::Dev, &[]),
    room("foregate-tests", Kind::Dev, &[]),
    room("xtask", Kind::Dev, &[]),
];

/// Crates that would bring a runtime, sockets, files or locks into the core.
const BANNED_IN_CORE: [&str; 11] = [
    "arc-swap",
    "async-std",
    "axum",
    "libc",
    "mio",
    "nix",
    "parking_lot",
    "rustix",
    "signal-hook",
    "socket2",
    "tokio",
];

/// A workspace crate as `cargo metadata` tells it.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its directory, relative to the repository's root.
    pub(crate) directory: std::path::PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    in_tests_only: bool,
    in_workspace: bool,
}

impl Package {
    pub(crate) fn kind(&self) -> Option<Kind> {
        let room = ROOMS.iter().find(|room| room.package == self.name)?;
        Some(room.kind)
    }
}

/// The workspace's crates.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .map(|package| {
            read_package(root, package).ok_or_else(|| format!("not a package: {package}"))
        })
        .collect()
}

fn read_package(root: &Path, package: &Value) -> Option<Package> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let dependencies = package["dependencies"]
        .as_array()?
        .iter()
        .map(|dependency| {
            Some(Dependency {
                name: dependency["name"].as_str()?.to_owned(),
                in_tests_only: dependency["kind"].as_str() == Some("dev"),
                in_workspace: dependency["path"].is_string(),
            })
        });
    Some(Package {
        name: package["name"].as_str()?.to_owned(),
        directory: manifest.parent()?.strip_prefix(root).ok()?.to_owned(),
        dependencies: dependencies.collect::<Option<_>>()?,
    })
}

pub(crate) fn check(packages: &[Package], findings: &mut Vec<Finding>) {
    for package in packages {
        let manifest = package.directory.join("Cargo.toml");
        let Some(room) = ROOMS.iter().find(|room| room.package == package.name) else {
            findings.push(Finding::new(
                &manifest,
                0,
                "a crate without a row in the table of rooms (xtask/src/arrows.rs, ARCHITECTURE.md)",
            ));
            continue;
        };
        let broken = package
            .dependencies
            .iter()
            .filter_map(|it| forbidden(room, it));
        findings.extend(broken.map(|complaint| Finding::new(&manifest, 0, complaint)));
    }
    for room in ROOMS {
        if !packages.iter().any(|package| package.name == room.package) {
            let complaint = format!(
                "`{}` has a row in the table of rooms but is no crate",
                room.package
            );
            findings.push(Finding::new(Path::new("xtask/src/arrows.rs"), 0, complaint));
        }
    }
}

fn forbidden(room: &Room, dependency: &Dependency) -> Option<String> {
    let Dependency {
        name,
        in_tests_only,
        in_workspace,
    } = dependency;
    let package = room.package;
    if room.kind == Kind::Dev || (*in_tests_only && name == TESTKIT) {
        return None;
    }
    if *in_workspace {
        let allowed = room.may_use.contains(&name.as_str());
        return (!allowed).then(|| format!("forbidden arrow: {package} → {name}"));
    }
    let banned =
        room.kind == Kind::Core && !in_tests_only && BANNED_IN_CORE.contains(&name.as_str());
    banned.then(|| format!("{package} is a core crate and must not use {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_dependency(package: &str, name: &str, in_tests_only: bool, allowed: bool) {
        let room = ROOMS
            .iter()
            .find(|it| it.package == package)
            .expect("a room of the table");
        let dependency = Dependency {
            name: name.to_owned(),
            in_tests_only,
            in_workspace: name.starts_with("foregate"),
        };
        assert_eq!(
            forbidden(room, &dependency).is_none(),
            allowed,
            "{package} → {name}"
        );
    }

    #[test]
    fn only_the_listed_arrows_are_allowed() {
        check_dependency("foregate-exchange", "foregate-upstream", false, true);
        check_dependency("foregate-exchange", "foregate-downstream", false, false);
        check_dependency("foregate-downstream", "foregate-exchange", false, false);
        check_dependency("foregate-config", "foregate-message", false, false);
        check_dependency("foregate-route", "foregate-config", true, false);
    }

    #[test]
    fn tests_may_use_the_testkit_and_nothing_else_may() {
        check_dependency("foregate-upstream", "foregate-testkit", true, true);
        check_dependency("foregate-upstream", "foregate-testkit", false, false);
        check_dependency("foregate-tests", "foregate-testkit", false, true);
    }

    #[test]
    fn the_core_has_no_runtime() {
        check_dependency("foregate-wire", "tokio", false, false);
        check_dependency("foregate-wire", "tokio", true, true);
        check_dependency("foregate-wire", "httparse", false, true);
        check_dependency("foregate-upstream", "tokio", false, true);
    }

    #[test]
    fn arrows_point_at_rooms_of_the_table() {
        for room in ROOMS {
            for used in room.may_use {
                assert!(
                    ROOMS.iter().any(|it| it.package == *used),
                    "{} → {used}",
                    room.package
                );
            }
        }
    }
}
