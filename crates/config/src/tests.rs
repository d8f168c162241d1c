//! Whole configurations: what the tests of other files load them with; and large, hostile and random texts.

use crate::{Format, MemoryFiles, Outcome, Settings, parse_str, render, to_json};
use proptest::prelude::*;
use std::fmt::Write;

/// Loads a TOML text that may reach nothing outside.
pub(crate) fn load(text: &str) -> Outcome {
    parse_str("foregate.toml", text, Format::Toml, &MemoryFiles::default())
}

/// Loads a TOML text that must be faultless.
pub(crate) fn settings(text: &str) -> Settings {
    let outcome = load(text);
    assert!(
        outcome.diagnostics.is_empty(),
        "{}",
        render(&outcome, false)
    );
    outcome.settings.unwrap()
}

/// The codes of what is wrong with a text, in order of their places.
pub(crate) fn codes(outcome: &Outcome) -> Vec<&'static str> {
    outcome
        .diagnostics
        .iter()
        .map(|diagnostic| diagnostic.code.name())
        .collect()
}

/// A faultless site and its upstream, to stand beside what is tested.
pub(crate) const APP: &str = "
[sites.'app.example']
upstream = 'app'
[upstreams.app]
servers = ['127.0.0.1:1']
";

#[test]
fn a_text_that_is_too_large_is_refused() {
    let outcome = load(&format!("{APP}#{}", " ".repeat(16 << 20)));
    assert_eq!(codes(&outcome), ["too-large"]);
}

#[test]
fn too_many_files_are_refused() {
    let files = (0..10_050).fold(MemoryFiles::default(), |files, n| {
        files.file(format!("d/{n}.toml"), "")
    });
    let files = files.file("f.toml", format!("import = ['d/*.toml']\n{APP}"));
    let outcome = crate::load(std::path::Path::new("f.toml"), &files);
    assert_eq!(codes(&outcome), ["too-large"]);
}

#[test]
fn deep_nesting_is_refused() {
    for text in [
        format!("x = {}", "[".repeat(100_000)),
        format!("x = {}", "{a=".repeat(100_000)),
        format!("{}a = 1", "a.".repeat(100_000)),
        format!("[{}a]", "a.".repeat(100_000)),
    ] {
        let outcome = load(&text);
        assert!(
            codes(&outcome).contains(&"too-large"),
            "{}",
            render(&outcome, false)
        );
    }
    let outcome = parse_str(
        "x.json",
        &"{\"a\":".repeat(100_000),
        Format::Json,
        &MemoryFiles::default(),
    );
    assert_eq!(codes(&outcome), ["too-large"]);
}

#[test]
fn the_number_of_diagnostics_is_limited() {
    let mut text = String::new();
    for n in 0..5000 {
        writeln!(text, "unknown-{n} = {n}").unwrap();
    }
    let outcome = load(&format!("{text}{APP}"));
    assert_eq!((outcome.diagnostics.len(), outcome.omitted), (1000, 4000));
    assert!(outcome.settings.is_none());
    assert!(render(&outcome, false).ends_with("1000 errors, 0 warnings, and 4000 more\n"));

    let mut outcome = load(APP);
    let found = |at| {
        let origin = crate::Origin::new(0, at, at);
        crate::Diagnostic::new(crate::Code::UnusedCertificate, origin, "found")
    };
    outcome.add((0..10).rev().map(found));
    assert_eq!(outcome.diagnostics[0].origin.start, 0);
    outcome.add(std::iter::repeat_with(|| found(1)).take(2000));
    assert_eq!((outcome.diagnostics.len(), outcome.omitted), (1000, 1010));
}

/// Routes of one site that differ by `condition`.
fn many(count: usize, condition: impl Fn(usize) -> String) -> String {
    let mut text = format!("{APP}[sites.'x.example']\n");
    for n in 0..count {
        writeln!(
            text,
            "[[sites.'x.example'.routes]]\nupstream = 'app'\n{}",
            condition(n)
        )
        .unwrap();
    }
    text
}

#[test]
fn many_routes_that_differ_are_compared_without_comparing_every_pair() {
    // 4,000 routes have 8 million pairs, far beyond the budget: if these were compared, a warning would tell.
    settings(&many(4000, |n| format!("path = '/r{n}'")));
    settings(&many(4000, |n| format!("path = {{ glob = '/r{n}/*' }}")));
    settings(&many(4000, |n| {
        format!("path = {{ regex = '^/r{n}/[0-9]+$' }}")
    }));
    settings(&many(4000, |n| {
        format!("headers = {{ 'X-Tenant' = '{n}' }}")
    }));
    settings(&many(4000, |n| {
        format!("headers = {{ 'X-A' = '*' }}\nquery = {{ tenant = '{n}' }}")
    }));
}

#[test]
fn routes_that_are_too_similar_exhaust_the_budget_and_a_warning_tells() {
    let outcome = load(&many(4000, |n| format!("path = {{ glob = '/*/{n:04}' }}")));
    assert_eq!(codes(&outcome), ["unchecked-routes"]);
    assert!(outcome.settings.is_some());
}

#[test]
fn many_regular_expressions_are_compared_within_a_budget() {
    settings(&many(300, |n| {
        format!("path = {{ regex = '\\.x{n:03}$' }}")
    }));
    settings(&many(50, |n| {
        format!("path = {{ regex = '^/(a{n:02}|b{n:02})$' }}")
    }));
    // None of what is not compared is called ambiguous.
    let outcome = load(&many(1000, |n| {
        format!("path = {{ regex = '^/(a{n:04}|b{n:04})$' }}")
    }));
    assert_eq!(codes(&outcome), ["unchecked-routes"]);
    // Hints alone are left out silently.
    settings(&many(5000, |n| match n {
        0..100 => format!("path = {{ regex = '[x]{n:02}$' }}\npriority = {n}"),
        _ => format!("path = '/r{n}'"),
    }));
}

fn no_panic(text: &str, format: Format) -> Result<(), TestCaseError> {
    let outcome = parse_str(
        "f",
        text,
        format,
        &MemoryFiles::default().variable("A", "1"),
    );
    let errors = outcome
        .diagnostics
        .iter()
        .any(|d| d.severity() == crate::Severity::Error);
    prop_assert_eq!(outcome.settings.is_none(), errors);
    prop_assert!(outcome.diagnostics.is_empty() || !render(&outcome, true).is_empty());
    serde_json::from_str::<serde_json::Value>(&to_json(&outcome)).unwrap();
    Ok(())
}

const FULL: &str = include_str!("../../../examples/full.toml");
const GATEWAY: &str = include_str!("../../../examples/api-gateway.toml");

/// Where secrets may be written, in TOML and in JSON.
const SECRETS: [&str; 2] = [
    r#"
[listeners.public]
address = "127.0.0.1:80"

[admin]
address = "127.0.0.1:1"
token = "s3cr3t-of-mine-42"

[sites."a.example"]
upstream = "app"

[[sites."a.example".routes]]
path = "/api"
upstream = "app"
request_headers = { set = { "X-A" = "1", Authorization = "Bearer s3cr3t-of-mine-42" }, remove = ["Cookie"] }

[upstreams.app]
servers = ["127.0.0.1:1"]
sticky = { secrets = [
    "s3cr3t-of-mine-42",
    "s3cr3t-of-mine-42"
] }
"#,
    r#"{
  "listeners": { "public": { "address": "127.0.0.1:80" } },
  "admin": {
    "address": "127.0.0.1:1",
    "token": "s3cr3t-of-mine-42"
  },
  "sites": { "a.example": { "upstream": "app" } },
  "upstreams": {
    "app": {
      "servers": ["127.0.0.1:1"],
      "sticky": {
        "secrets": [
          "s3cr3t-of-mine-42"
        ]
      }
    }
  }
}
"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn no_change_of_a_text_shows_a_secret(
        is_json in any::<bool>(),
        changes in prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                0_usize..12,
                prop::sample::select(vec![
                    "", "", "=", "\"", "'", "[", "]", "{", "}", ",", ":", "\n", " ", "#", "x", "\"\"\"", "[x]", "\n\"",
                ]),
            ),
            1..4,
        ),
    ) {
        let mut text = SECRETS[usize::from(is_json)].to_owned();
        for (at, length, put_in) in changes {
            let start = at.index(text.len());
            let end = (start + length).min(text.len());
            text.replace_range(start..end, put_in);
        }
        let format = if is_json { Format::Json } else { Format::Toml };
        let name = if is_json { "a.json" } else { "a.toml" };
        let outcome = parse_str(name, &text, format, &MemoryFiles::default());
        // In a text that can be read, a change may have put the secret where none belongs.
        prop_assume!(codes(&outcome).contains(&"syntax"));
        let shown = render(&outcome, false);
        prop_assert!(!shown.contains("s3cr3t-of-mine-42"), "{}\n{}", text, shown);
        prop_assert!(!to_json(&outcome).contains("s3cr3t-of-mine-42"), "{}", to_json(&outcome));
    }
}

proptest! {
    #[test]
    fn any_text_has_an_outcome(text in any::<String>()) {
        no_panic(&text, Format::Toml)?;
        no_panic(&text, Format::Json)?;
    }

    #[test]
    fn any_change_of_an_example_has_an_outcome(
        is_full in any::<bool>(),
        start in any::<prop::sample::Index>(),
        length in 0_usize..40,
        put_in in prop::sample::select(vec![
            "", "=", "\"", "'", "[", "]]", "{", "}", "é", "\n", "${ENV:A}", "${", "~(", "*", "0", "off", ".", "\u{0}", "/", "%2", "[[a.b]]",
        ]),
    ) {
        let example = if is_full { FULL } else { GATEWAY };
        let start = start.index(example.len());
        let end = (start + length).min(example.len());
        if let (Some(before), Some(after)) = (example.get(..start), example.get(end..)) {
            no_panic(&format!("{before}{put_in}{after}"), Format::Toml)?;
        }
    }
}
