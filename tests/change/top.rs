//! `foregate top`: in a pipe, and in a terminal.

use foregate_testkit::{Answer, Backend, Gateway, foregate};
use foregate_tests::foreign::run_python;
use serde_json::Value;

#[test]
fn one_picture_is_printed_where_nobody_looks() {
    let backend = Backend::answering(|_| Answer::ok("a"));
    let gateway = Gateway::before(&[backend.address()]);
    gateway.get("a", "/");
    let admin = gateway.listener("admin").to_string();
    let endpoint = format!("app {}", backend.address());
    let picture = foregate(&["top", "--admin", &admin]);
    assert_eq!(picture.code, Some(0), "{}", picture.stderr);
    for part in ["REQ/S", "ENDPOINT", &*endpoint, "serving"] {
        assert!(picture.stdout.contains(part), "{}", picture.stdout);
    }
    assert!(!picture.stdout.contains('\u{1b}'), "{}", picture.stdout);
    let told = foregate(&["top", "--json", "--filter", "app", "--admin", &admin]);
    let told: Value = serde_json::from_str(&told.stdout).expect("it is JSON");
    assert_eq!(told["endpoints"][0]["name"], endpoint);
    let nobody = foregate(&["top", "--once", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.code, Some(1));
}

#[test]
fn in_a_terminal_keys_sort_seek_and_end() {
    let backend = Backend::answering(|_| Answer::ok("a"));
    let gateway = Gateway::before(&[backend.address()]);
    let admin = gateway.listener("admin").to_string();
    let program = foregate_testkit::foregate_path()
        .to_string_lossy()
        .into_owned();
    run_python("change/top.py", &[&program, &admin]);
}
