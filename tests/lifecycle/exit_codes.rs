//! What the process says to its parent.

use foregate_testkit::{Backend, Echo, Gateway, Signal, foregate, free_port};

#[test]
fn a_bad_configuration_refuses_to_start() {
    let run = Gateway::new("[sites.\"*\"]\nupstream = \"missing\"\n").run_to_end();
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(run.stderr.contains("missing"), "{}", run.stderr);
    assert!(!run.stdout.contains("ready"), "{}", run.stdout);
}

#[test]
fn a_missing_file_refuses_to_start() {
    let run = foregate(&["run", "-c", "/nonexistent/foregate.toml"]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(
        run.stderr.contains("/nonexistent/foregate.toml"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_taken_address_refuses_to_start() {
    let backend = Backend::start(Echo);
    let run = Gateway::new(&format!(
        "[listeners.public]\naddress = \"{}\"\n[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = {{ status = 200 }}\n",
        backend.address()
    ))
    .run_to_end();
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(
        run.stderr.contains(&backend.address().to_string()),
        "{}",
        run.stderr
    );
}

#[test]
fn an_address_of_another_gateway_refuses_to_start() {
    let port = free_port();
    let text = format!(
        "[listeners.public]\naddress = \"127.0.0.1:{port}\"\n[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = {{ status = 200 }}\n"
    );
    let first = Gateway::new(&text).start();
    let second = Gateway::new(&text).run_to_end();
    assert_eq!(second.code, Some(1), "{second:?}");
    let told = "another process listens there";
    assert!(second.stderr.contains(told), "{}", second.stderr);
    // Neither does a reload take half of its clients.
    let mut third = Gateway::new(&text.replace(&port.to_string(), "0")).start();
    third.rewrite_config(&text, &[]);
    third.signal(Signal::Hup);
    third.wait_stderr(told);
    assert_eq!(first.get("a", "/").status, 200);
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let run = foregate(&["frobnicate"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("frobnicate"), "{}", run.stderr);
}

#[test]
fn help_and_version_succeed() {
    assert_eq!(foregate(&["--help"]).code, Some(0));
    let run = foregate(&["--version"]);
    assert_eq!(run.code, Some(0));
    assert!(run.stdout.contains("foregate"), "{}", run.stdout);
}
