//! What the command line prints and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, block, and read clocks and files as they like"
)]

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

fn foregate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foregate"))
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Code, standard output, standard error.
#[track_caller]
fn told(arguments: &[&str]) -> (i32, String, String) {
    let output = foregate(arguments);
    (
        output.status.code().unwrap(),
        text(&output.stdout).to_owned(),
        text(&output.stderr).to_owned(),
    )
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Compares with a file beside this one; `FOREGATE_BLESS=1` writes it instead.
#[track_caller]
fn check_golden(name: &str, told: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    // Spaces at line ends are nobody's intention.
    let told: String = told
        .lines()
        .flat_map(|line| [line.trim_end(), "\n"])
        .collect();
    if std::env::var_os("FOREGATE_BLESS").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        told == expected,
        "{} differs; if that is meant, run with FOREGATE_BLESS=1\n--- expected\n{expected}\n--- told\n{told}",
        path.display()
    );
}

const GOOD: &str = r#"
[listeners.public]
address = "127.0.0.1:8080"

[[sites."example.com".routes]]
name = "beta"
path = "/api"
headers = { "X-Beta" = "1" }
upstream = "next"

[[sites."example.com".routes]]
name = "api"
path = "/api"
strip_prefix = "/api"
upstream = "app"

[upstreams.app]
servers = ["10.0.0.1:8080", "10.0.0.2:8080"]

[upstreams.next]
servers = ["10.0.0.3:8080"]
"#;

const BAD: &str = r#"
[sites."example.com"]
upstraem = "app"

[upstreams.app]
servers = ["10.0.0.1"]
"#;

#[test]
fn help_is_as_agreed() {
    let (code, help, _) = told(&["--help"]);
    assert_eq!(code, 0);
    check_golden("help.txt", &help);
    for command in [
        "run",
        "proxy",
        "demo",
        "check",
        "explain",
        "reload",
        "upgrade",
        "certs",
        "connections",
        "schema",
    ] {
        let (code, help, _) = told(&[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        check_golden(&format!("help-{command}.txt"), &help);
    }
}

#[test]
fn the_version_is_told() {
    let (code, out, _) = told(&["--version"]);
    assert_eq!(
        (code, out),
        (0, format!("foregate {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_senseless_command_line_ends_with_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["proxy", "--listen", "127.0.0.1:0"],
        &[
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "http://127.0.0.1:1",
        ],
        &[
            "proxy",
            "--listen",
            "127.0.0.1:0",
            "--to",
            "a:1",
            "--to",
            "a:1",
        ],
        &["explain", "GET"],
        &["demo", "--seconds", "0"],
        &["reload", "--admin", "127.0.0.1:1", "-c", "x"],
    ] {
        let (code, out, err) = told(arguments);
        assert_eq!(code, 2, "{arguments:?}: {out}{err}");
        assert!(
            out.is_empty() && !err.is_empty(),
            "{arguments:?}: {out}{err}"
        );
    }
}

#[test]
fn a_good_configuration_is_counted() {
    let scratch = Scratch::new();
    let path = scratch.write("good.toml", GOOD);
    let (code, out, err) = told(&["check", "-c", &path]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        out,
        format!("{path} is good: 1 listener, 1 site, 2 routes, 2 upstreams, 3 servers\n")
    );
    let (code, out, _) = told(&["check", "--json", "-c", &path]);
    assert_eq!((code, out.trim()), (0, "[]"));
}

#[test]
fn a_bad_configuration_is_told_with_its_lines() {
    let scratch = Scratch::new();
    let path = scratch.write("bad.toml", BAD);
    let (code, out, err) = told(&["check", "-c", &path]);
    assert_eq!((code, out.as_str()), (2, ""));
    check_golden("check-bad.txt", &err.replace(&path, "bad.toml"));
}

#[test]
fn editors_get_the_same_as_json() {
    let scratch = Scratch::new();
    let path = scratch.write("bad.toml", BAD);
    let (code, out, err) = told(&["check", "--json", "-c", &path]);
    assert_eq!((code, err.as_str()), (2, ""));
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    let places: Vec<_> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["code"], &it["line"]))
        .collect();
    assert!(
        places.contains(&(&"unknown-key".into(), &3.into())),
        "{out}"
    );
    assert!(
        places.contains(&(&"bad-address".into(), &6.into())),
        "{out}"
    );
}

#[test]
fn without_any_configuration_the_places_are_named() {
    let scratch = Scratch::new();
    if Path::new("/etc/foregate/foregate.toml").exists() {
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .arg("check")
        .current_dir(&scratch.0)
        .output()
        .unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains("./foregate.toml") && err.contains("/etc/foregate/foregate.toml"),
        "{err}"
    );
    scratch.write("foregate.toml", GOOD);
    let output = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .arg("check")
        .current_dir(&scratch.0)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn an_explanation_reads_like_the_road() {
    let scratch = Scratch::new();
    let path = scratch.write("good.toml", GOOD);
    let url = "http://example.com:8080/api/users?page=2";
    let (code, out, err) = told(&["explain", "GET", url, "-c", &path, "--from", "192.0.2.7"]);
    assert_eq!((code, err.as_str()), (0, ""));
    check_golden("explain.txt", &out);
    let (code, out, _) = told(&[
        "explain",
        "GET",
        url,
        "-H",
        "X-Beta: 1",
        "--json",
        "-c",
        &path,
    ]);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        (&told["route"], &told["outcome"]["upstream"]),
        (&"beta".into(), &"next".into())
    );
}

#[test]
fn what_can_not_be_asked_ends_with_2() {
    let scratch = Scratch::new();
    let (good, bad) = (
        scratch.write("good.toml", GOOD),
        scratch.write("bad.toml", BAD),
    );
    for (arguments, expected) in [
        (&["explain", "GET", "/path", "-c", &good][..], "/path"),
        (&["explain", "G T", "http://a/", "-c", &good], "G T"),
        (
            &["explain", "GET", "http://a/", "-H", "no colon", "-c", &good],
            "name: value",
        ),
        (
            &[
                "explain",
                "GET",
                "http://a/",
                "--listener",
                "none",
                "-c",
                &good,
            ],
            "none",
        ),
        (&["explain", "GET", "http://a/", "-c", &bad], "upstraem"),
        (&["reload", "-c", &bad], "upstraem"),
        (&["run", "-c", &bad], "upstraem"),
    ] {
        let (code, out, err) = told(arguments);
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
}

#[test]
fn the_schema_is_json_and_the_reference_is_text() {
    let (code, out, _) = told(&["schema"]);
    let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert!(schema["properties"]["sites"].is_object(), "{out}");
    let (code, out, _) = told(&["reference"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with('#') && out.contains("drain_timeout"),
        "{out}"
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_foregate"))
        .arg("schema")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn a_reload_without_a_gateway_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let (code, out, err) = told(&["reload", "--admin", &address]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains(&address), "{err}");
}

/// Whoever reads on has gone, or the disk is full: the code still says what is wrong.
#[test]
fn the_code_is_right_where_nobody_can_be_told() {
    let scratch = Scratch::new();
    let bad = scratch.write("bad.toml", "[sites.\"*\"]\nupstraem = \"app\"\n");
    let good = scratch.write(
        "good.toml",
        "[sites.\"*\"]\nupstream = \"app\"\n[upstreams.app]\nservers = [\"127.0.0.1:9\"]\n[upstreams.unused]\nservers = [\"127.0.0.1:9\"]\n",
    );
    for (arguments, code) in [
        (["check", "-c", bad.as_str()], 2),
        (["run", "-c", bad.as_str()], 2),
        (["check", "-c", good.as_str()], 0),
        (["serve", "-c", good.as_str()], 2),
        (["reload", "--admin", "127.0.0.1:1"], 1),
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let ended = Command::new(env!("CARGO_BIN_EXE_foregate"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(full)
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments:?}");
    }
}
