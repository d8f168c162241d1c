//! How a diagnostic is shown: to terminals, to editors, and what is shown to nobody.

use super::*;

#[test]
fn colours_are_only_added() {
    let outcome = load("x = 1");
    let coloured = render(&outcome, true);
    assert!(coloured.contains("\x1b[1;31m"));
    let mut plain = coloured;
    for code in ["1;31", "1;33", "34", "1", "0"] {
        plain = plain.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(plain, render(&outcome, false));
}

#[test]
fn long_lines_and_tabs_are_shown_around_the_fault() {
    let outcome = load(&format!(
        "[sites.'*']\nhosts = [{}\t'!']\nupstream = 'app'",
        "'a.example', ".repeat(1000)
    ));
    let bad = outcome
        .diagnostics
        .iter()
        .find(|d| d.code.name() == "bad-host")
        .unwrap();
    let only = crate::Outcome {
        diagnostics: vec![bad.clone()],
        ..outcome.clone()
    };
    let rendered = render(&only, false);
    let lines: Vec<&str> = rendered.lines().collect();
    let column = lines[3].find('^').unwrap();
    assert_eq!(lines[3].chars().filter(|c| *c == '^').count(), 3);
    assert!(
        lines[2]
            .chars()
            .skip(column)
            .collect::<String>()
            .starts_with("'!'"),
        "{rendered}"
    );
    assert!(lines[2].chars().count() < 200);
}

#[test]
fn json_for_editors() {
    let outcome = parse_str(
        "a.toml",
        "drain_timeout = 3",
        Format::Toml,
        &MemoryFiles::default(),
    );
    let json: serde_json::Value = serde_json::from_str(&to_json(&outcome)).unwrap();
    let duration = json
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["code"] == "wrong-type")
        .unwrap();
    let expected = serde_json::json!({
        "file": "a.toml", "line": 1, "column": 17, "end_line": 1, "end_column": 18,
        "severity": "error", "code": "wrong-type", "message": "a duration needs a unit", "label": "this is an integer",
        "cause": null, "help": "\"3s\" for seconds, \"3ms\" for milliseconds", "related": [],
    });
    assert_eq!(*duration, expected);
}

#[test]
fn where_backends_are_found_is_said_once_and_whole() {
    let found =
        |discovery: &str| format!("[sites.'*']\nupstream = 'app'\n[upstreams.app]\n{discovery}");
    for (discovery, expected) in [
        (
            "discovery = { dns = { name = 'app.internal:80' } }",
            &[][..],
        ),
        ("discovery = { file = 'x' }\nservers = []", &[]),
        ("discovery = {}", &["missing-key"]),
        (
            "discovery = { file = 'x', dns = { name = 'a:1' } }",
            &["conflicting-keys"],
        ),
        ("discovery = { dns = {} }", &["missing-key"]),
        (
            "discovery = { dns = { name = '10.0.0.1:80' } }",
            &["bad-value"],
        ),
        (
            "discovery = { dns = { name = 'a:1', ttl_min = '9s', ttl_max = '1s' } }",
            &["conflicting-keys"],
        ),
        ("discovery = { srv = { name = 'a b' } }", &["bad-value"]),
        ("discovery = { consul = { service = '' } }", &["bad-value"]),
        ("discovery = { docker = { label = 'a b' } }", &["bad-value"]),
        ("servers = []", &["empty-upstream"]),
        ("balance = 'random'", &["missing-key"]),
    ] {
        let outcome = load(&found(discovery));
        assert_eq!(
            codes(&outcome),
            expected,
            "{discovery}\n{}",
            render(&outcome, false)
        );
    }
    check(
        &found("discovery = { file = 'x', dns = { name = 'a:1' } }"),
        "
error[conflicting-keys]: `dns` and `file` cannot stand together
  --> foregate.toml:4:15
4 | discovery = { file = 'x', dns = { name = 'a:1' } }
  |               ^^^^
  ::: foregate.toml:4:27
4 | discovery = { file = 'x', dns = { name = 'a:1' } }
  |                           --- `dns` is here
  = help: an upstream has one source of backends beside `servers`: keep one of them",
    );
}

#[test]
fn secrets_are_shown_on_nobodys_terminal_but_the_operators() {
    let secret = "s3cr3t-of-mine";
    for (text, shown) in [
        (
            "[admin]\ntoken = \"s3cr3t-of-mine\" # ours",
            "2 | token = \"…\" # ours\n  |         ^^^",
        ),
        (
            "[admin]\ntokn = \"s3cr3t-of-mine\"",
            "2 | tokn = \"…\"\n  | ^^^^ unknown key\n",
        ),
        ("[admin]\ntoken = \"s3cr3t-of-mine", "2 | token = \"…\"\n"),
        (
            "[admin]\ntoken = s3cr3t-of-mine",
            "2 | token = \"…\"\n  |         ^^^\n",
        ),
        (
            "[admin]\ntoken = \"s3cr3t-of-mine\"\ntoken = \"s3cr3t-of-mine\"",
            "3 | token = \"…\"\n  | ^^^^^ already defined above\n",
        ),
        (
            "[[sites.a.routes]]\nupstream = \"b\"\nrequest_headers = { set = { Authorization = \"s3cr3t-of-mine\\u0001\" } }",
            "= cause: it has the control character",
        ),
        (
            "[admin]\ntoken = \"s3cr3t-of-mine${ENV:A\"",
            "2 | token = \"…\"\n",
        ),
        (
            "[upstreams.a.discovery.consul]\nservice = \"a\"\ntoken = \"s3cr3t-of-mine ä\"",
            "3 | token = \"…\"\n",
        ),
    ] {
        let outcome = load(text);
        let rendered = render(&outcome, false);
        assert!(rendered.contains(shown), "{text}: {rendered}");
        assert!(!rendered.contains(secret), "{text}: {rendered}");
        let json = to_json(&outcome);
        assert!(!json.contains(secret), "{text}: {json}");
        assert!(render_in_full(&outcome, false).contains(secret), "{text}");
    }
}

/// With one file missing or broken, what was said of all the others was masked as if it were of secrets.
#[test]
fn names_that_look_like_secrets_are_only_hidden_where_the_text_cannot_be_read() {
    let name = "customer-portal-number-2";
    let missing = format!("import = ['sites/{name}.toml']\n{APP}");
    let unknown = format!("{name} = 1\n");
    let files = MemoryFiles::default()
        .file("sound.toml", &missing)
        .file("both.toml", "import = ['unknown.toml', 'broken.toml']")
        .file("unknown.toml", &unknown)
        .file("broken.toml", "[x\n");
    for (path, said) in [
        (
            "sound.toml",
            format!("cannot read `sites/{name}.toml`: no such file"),
        ),
        ("both.toml", format!("there is no key `{name}`")),
    ] {
        let outcome = crate::load(std::path::Path::new(path), &files);
        let rendered = render(&outcome, false);
        assert!(rendered.contains(&said), "{rendered}");
        let json = to_json(&outcome);
        assert!(json.contains(&said), "{json}");
    }
    let outcome = load(&format!("{unknown}[x\n"));
    let said = format!("there is no key `{name}`");
    assert!(render_in_full(&outcome, false).contains(&said));
    assert!(!render(&outcome, false).contains(&said));
    assert!(!to_json(&outcome).contains(&said));
}

#[test]
fn what_a_reference_stands_for_is_not_told() {
    let text = format!(
        "[[sites.x.routes]]\nredirect = '${{FILE:key}}'\n[[sites.x.routes]]\npath = '/a'\nredirect = '/{}'\n{APP}",
        "a".repeat(100)
    );
    let files = MemoryFiles::default().file("key", "hunter two");
    let outcome = parse_str("foregate.toml", &text, Format::Toml, &files);
    assert_eq!(codes(&outcome), ["wrong-type", "wrong-type"]);
    for rendered in [render_in_full(&outcome, false), to_json(&outcome)] {
        assert!(!rendered.contains("hunter"), "{rendered}");
        assert!(!rendered.contains("{ to = "), "{rendered}");
    }
}

/// The value was read as it stands, and every reader complained of the `${`.
#[test]
fn of_a_value_that_is_too_large_nothing_more_is_said() {
    let megabyte = "x".repeat(1 << 20);
    let files = MemoryFiles::default().file("key", megabyte);
    let text = format!("workers = '{}'\n{APP}", "${FILE:key}".repeat(20));
    let outcome = parse_str("foregate.toml", &text, Format::Toml, &files);
    assert_eq!(codes(&outcome), ["too-large"]);
}
