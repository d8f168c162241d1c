//! Configurations of several files, and texts from outside.

use crate::tests::codes;
use crate::{MemoryFiles, Outcome, load, render};
use std::path::Path;

const APP: &str = "[upstreams.app]\nservers = ['127.0.0.1:1']\n";

fn site(host: &str) -> String {
    format!("[sites.'{host}']\nupstream = 'app'\n")
}

fn at(path: &str, files: &MemoryFiles) -> Outcome {
    load(Path::new(path), files)
}

fn hosts(outcome: &Outcome) -> Vec<&str> {
    assert!(outcome.diagnostics.is_empty(), "{}", render(outcome, false));
    outcome
        .settings
        .as_ref()
        .unwrap()
        .sites
        .iter()
        .map(|site| site.name.as_str())
        .collect()
}

#[test]
fn imports_unite_tables_in_order_of_names() {
    let files = MemoryFiles::default()
        .file(
            "etc/f.toml",
            format!(
                "import = ['sites/*.toml', 'sites/c.json']\n{}{APP}",
                site("main.example")
            ),
        )
        .file("etc/sites/b.toml", site("b.example"))
        .file("etc/sites/a.toml", site("a.example"))
        .file(
            "etc/sites/c.json",
            r#"{"sites": {"c.example": {"upstream": "app"}}}"#,
        )
        .file("etc/sites/ignored.txt", "not toml");
    let outcome = at("etc/f.toml", &files);
    assert_eq!(
        hosts(&outcome),
        ["main.example", "a.example", "b.example", "c.example"]
    );
    let names: Vec<&str> = outcome.sources.iter().map(|source| source.name()).collect();
    assert_eq!(
        names,
        [
            "etc/f.toml",
            "etc/sites/a.toml",
            "etc/sites/b.toml",
            "etc/sites/c.json"
        ]
    );
}

#[test]
fn imports_nest_and_may_go_in_circles() {
    let files = MemoryFiles::default()
        .file("f.toml", format!("import = ['d/a.toml']\n{APP}"))
        .file(
            "d/a.toml",
            format!("import = ['*.toml', 'e/*.toml']\n{}", site("a.example")),
        )
        .file(
            "d/e/b.toml",
            format!("import = ['/abs.toml']\n{}", site("b.example")),
        )
        .file("/abs.toml", site("c.example"));
    assert_eq!(
        hosts(&at("f.toml", &files)),
        ["a.example", "b.example", "c.example"]
    );
}

#[test]
fn what_two_files_define_is_an_error_with_both_places() {
    let files = MemoryFiles::default()
        .file(
            "f.toml",
            format!(
                "import = ['a.toml']\nworkers = 2\n[client]\nfields_max = 7\n{}{APP}",
                site("x.example")
            ),
        )
        .file(
            "a.toml",
            format!(
                "workers = 3\n[client]\nfields_max = 8\nhead_bytes_max = '9KiB'\n{}",
                site("x.example")
            ),
        );
    let outcome = at("f.toml", &files);
    assert_eq!(codes(&outcome), ["duplicate-key"; 3]);
    let rendered = render(&outcome, false);
    for place in [
        "a.toml:1:1",
        "f.toml:2:1",
        "a.toml:3:1",
        "f.toml:4:1",
        "a.toml:5:8",
        "f.toml:5:8",
    ] {
        assert!(rendered.contains(place), "{place}\n{rendered}");
    }
}

#[test]
fn what_cannot_be_read() {
    let check = |text: &str, expected: &[&str]| {
        let outcome = at("f.toml", &MemoryFiles::default().file("f.toml", text));
        assert_eq!(
            codes(&outcome),
            expected,
            "{text}\n{}",
            render(&outcome, false)
        );
    };
    let app = format!("{}{APP}", site("x.example"));
    check(
        &format!("import = ['none.toml']\n{app}"),
        &["unreadable-file"],
    );
    check(
        &format!("import = ['none/*.toml']\n{app}"),
        &["unreadable-file"],
    );
    check(&format!("import = ['*.conf']\n{app}"), &["empty-import"]);
    // The upstream may stand in the file that is missing.
    check(
        &format!("import = ['none.toml']\n{}", site("x.example")),
        &["unreadable-file"],
    );
    let outcome = at("none.toml", &MemoryFiles::default());
    assert_eq!(codes(&outcome), ["unreadable-file"]);
    assert_eq!(
        render(&outcome, false),
        "error[unreadable-file]: cannot read `none.toml`: no such file\n  --> none.toml:1:1\n\n1 error, 0 warnings\n",
    );
}

#[test]
fn an_empty_import_is_a_warning_only() {
    let files = MemoryFiles::default().file(
        "f.toml",
        format!("import = ['*.conf']\n{}{APP}", site("x.example")),
    );
    assert!(at("f.toml", &files).settings.is_some());
}

#[test]
fn texts_from_outside_stand_for_any_value() {
    let text = format!(
        "workers = '${{ENV:WORKERS}}'
        [admin]
        enabled = '${{ENV:ADMIN}}'
        [listeners.a]
        addresses = ['127.0.0.1:${{ENV:PORT}}']
        [sites.'x.example']
        upstream = 'app'
        [[sites.'x.example'.routes]]
        respond = {{ body = '${{FILE:body.txt}}', status = '${{ENV:STATUS}}' }}
        path = {{ exact = '/b' }}
        {APP}"
    );
    let files = MemoryFiles::default()
        .file("etc/f.toml", text)
        .file("etc/body.txt", "hello\n")
        .variable("WORKERS", "3")
        .variable("ADMIN", "false")
        .variable("PORT", "8080")
        .variable("STATUS", "418");
    let outcome = at("etc/f.toml", &files);
    let settings = outcome
        .settings
        .as_ref()
        .unwrap_or_else(|| panic!("{}", render(&outcome, false)));
    assert_eq!(
        settings.workers,
        crate::settings::Workers::Count(3.try_into().unwrap())
    );
    assert_eq!(settings.admin, None);
    assert_eq!(
        settings.listeners[0].addresses,
        ["127.0.0.1:8080".parse().unwrap()]
    );
    let crate::settings::Action::Respond(respond) = &settings.sites[0].routes[0].action else {
        panic!("{settings:?}");
    };
    assert_eq!((respond.status, respond.body.as_str()), (418, "hello"));
}

#[test]
fn a_log_file_is_relative_to_the_file_that_names_it() {
    let files = MemoryFiles::default()
        .file(
            "etc/f.toml",
            format!("import = ['log/l.toml']\n{}{APP}", site("x.example")),
        )
        .file("etc/log/l.toml", "[access_log]\nto = './a.log'");
    let settings = at("etc/f.toml", &files).settings.unwrap();
    let log = settings.access_log.unwrap();
    assert_eq!(
        log.to,
        crate::settings::LogTarget::File(crate::settings::NamedFile {
            path: "etc/log/./a.log".into(),
            origin: crate::Origin::NOWHERE,
        })
    );
}
