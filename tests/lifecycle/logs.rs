//! USR1: reopen the logs.

use foregate_testkit::{Gateway, Signal, eventually};

#[test]
fn a_rotated_log_is_begun_anew() {
    let gateway = Gateway::new(
        "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200, body = \"x\" }\n",
    )
    .start();
    assert_eq!(gateway.get("a", "/first").status, 200);
    assert_eq!(gateway.log_lines(1).len(), 1);
    let rotated = gateway.log_path().with_extension("log.1");
    std::fs::rename(gateway.log_path(), &rotated).expect("a log can be renamed");
    gateway.signal(Signal::Usr1);
    eventually("a new log file is there", || {
        gateway.log_path().exists().then_some(())
    });
    assert_eq!(gateway.get("a", "/second").status, 200);
    let line = gateway.only_log_line();
    assert!(
        line.value().to_string().contains("/second"),
        "{}",
        line.value()
    );
    let old = std::fs::read_to_string(rotated).expect("the rotated log stays");
    assert!(old.contains("/first") && !old.contains("/second"), "{old}");
    gateway.assert_no_leaks();
}

#[test]
fn a_log_that_cannot_be_begun_anew_goes_on_and_says_so() {
    let gateway = Gateway::new(
        "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200, body = \"x\" }\n",
    )
    .start();
    let rotated = gateway.log_path().with_extension("log.1");
    std::fs::rename(gateway.log_path(), &rotated).expect("a log can be renamed");
    std::fs::create_dir(gateway.log_path()).expect("its place is free");
    gateway.signal(Signal::Usr1);
    let told = gateway.wait_stderr("reopening failed, the old file stays open");
    assert!(!told.contains("opened anew"), "{told}");
    assert_eq!(gateway.get("a", "/after").status, 200);
    eventually("the old file has it", || {
        let old = std::fs::read_to_string(&rotated).ok()?;
        old.contains("/after").then_some(())
    });
    std::fs::remove_dir(gateway.log_path()).expect("it is empty");
    gateway.signal(Signal::Usr1);
    gateway.wait_stderr("log files are opened anew");
}
