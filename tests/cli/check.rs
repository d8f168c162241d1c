//! `foregate check`: every error at once, where it is, and what to do.

use foregate_testkit::{Gateway, Scratch, foregate};

const GOOD: &str = r#"
[sites."a.example"]
upstream = "app"
[upstreams.app]
servers = ["127.0.0.1:9"]
"#;

const BAD: &str = r#"
drain_timout = "10s"
[sites."a.example"]
upstream = "ap"
[sites."b.example"]
hosts = ["a.example"]
[[sites."b.example".routes]]
respond = { status = 2000 }
[upstreams.app]
servers = ["127.0.0.1:99999"]
balance = "round-robbin"
"#;

#[test]
fn a_good_file_passes() {
    let run = Gateway::new(GOOD).command(&["check"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn every_mistake_is_told_at_once_with_place_and_suggestion() {
    let run = Gateway::new(BAD).command(&["check"]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    for expected in [
        "foregate.toml",
        "drain_timout",
        "drain_timeout",
        "\"ap\"",
        "app",
        "a.example",
        "2000",
        "99999",
        "round-robbin",
        "round-robin",
    ] {
        assert!(told.contains(expected), "{expected} is not told:\n{told}");
    }
}

#[test]
fn editors_get_json() {
    let run = Gateway::new(BAD).command(&["check", "--json"]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    let told: serde_json::Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"));
    let text = told.to_string();
    for expected in ["drain_timout", "round-robbin", "foregate.toml", "line"] {
        assert!(text.contains(expected), "{expected} is not told:\n{text}");
    }
}

/// Two proxying routes with these lines, and an upstream that none of them uses.
fn two_routes(first: &str, second: &str) -> foregate_testkit::Run {
    Gateway::new(&format!(
        r#"
        [[sites."a.example".routes]]
        name = "first"
        {first}
        upstream = "app"
        [[sites."a.example".routes]]
        name = "second"
        {second}
        upstream = "app"
        [upstreams.app]
        servers = ["127.0.0.1:9"]
        [upstreams.forgotten]
        servers = ["127.0.0.1:9"]
        "#
    ))
    .command(&["check"])
}

#[test]
fn what_can_never_serve_is_pointed_out() {
    let run = two_routes("path = \"/\"\npriority = 1", "path = \"/x\"");
    assert_eq!(run.code, Some(0), "a warning is no error: {run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(
        told.contains("second") && told.contains("forgotten"),
        "{told}"
    );
}

#[test]
fn routes_that_cannot_be_told_apart_are_an_error() {
    let run = two_routes("path = \"/x\"", "path = \"/x\"");
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(told.contains("first") && told.contains("second"), "{told}");
}

#[test]
fn imported_files_are_checked_and_named() {
    let run = Gateway::new("import = [\"sites/*.toml\"]\n")
        .file(
            "sites/one.toml",
            "[sites.\"a.example\"]\nupstraem = \"app\"\n",
        )
        .command(&["check"]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(
        told.contains("one.toml") && told.contains("upstraem"),
        "{told}"
    );
}

#[test]
fn imported_sites_are_served() {
    let gateway = Gateway::new("import = [\"sites/*.toml\"]\n")
        .file(
            "sites/one.toml",
            "[[sites.\"one.example\".routes]]\nrespond = { status = 200, body = \"one\" }\n",
        )
        .file(
            "sites/two.toml",
            "[[sites.\"two.example\".routes]]\nrespond = { status = 200, body = \"two\" }\n",
        )
        .start();
    assert_eq!(gateway.get("one.example", "/").text(), "one");
    assert_eq!(gateway.get("two.example", "/").text(), "two");
}

#[test]
fn values_come_from_files_too() {
    let gateway = Gateway::new(
        "[sites.\"*\"]\n[[sites.\"*\".routes]]\nrespond = { status = 200, body = \"it is ${FILE:{dir}/secret}\" }\n",
    )
    .file("secret", "hidden")
    .start();
    assert_eq!(gateway.get("a", "/").text(), "it is hidden");
}

#[test]
fn json_of_the_same_shape_is_accepted() {
    let scratch = Scratch::new();
    let good = r#"{ "sites": { "a.example": { "upstream": "app" } }, "upstreams": { "app": { "servers": ["127.0.0.1:9"] } } }"#;
    let path = scratch.write("good.json", good);
    let run = foregate(&["check", "-c", &path.to_string_lossy()]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let path = scratch.write("bad.json", good.replace("upstreams", "upstraems"));
    let run = foregate(&["check", "-c", &path.to_string_lossy()]);
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(
        format!("{}{}", run.stdout, run.stderr).contains("upstraems"),
        "{run:?}"
    );
}

#[test]
fn the_examples_pass() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let mut checked = 0;
    for entry in std::fs::read_dir(examples)
        .expect("there are examples")
        .flatten()
    {
        let path = entry.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml" || extension == "json")
        {
            let run = foregate(&["check", "-c", &path.to_string_lossy()]);
            assert_eq!(run.code, Some(0), "{}: {run:?}", path.display());
            checked += 1;
        }
    }
    assert!(checked > 0, "no examples in {examples}");
}
