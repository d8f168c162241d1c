//! `foregate check`: every error at once, where it is, and what to do.

use foregate_testkit::{Gateway, Scratch, foregate};
use foregate_tests::secure::Certificates;

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
fn a_log_that_could_not_be_opened_is_told_before_a_start() {
    let gateway = Gateway::new(&format!("[access_log]\nto = \"none/x.log\"\n{GOOD}"));
    for command in [&["check"][..], &["run"]] {
        let run = gateway.command(command);
        assert_eq!(run.code, Some(2), "{run:?}");
        for expected in [
            "error[missing-folder]: the access log cannot be written: its folder does not exist",
            "foregate.toml:3:6",
            "to = \"none/x.log\"",
        ] {
            assert!(run.stderr.contains(expected), "{expected}: {run:?}");
        }
        assert!(!run.stderr.contains("File("), "{run:?}");
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

/// The files that examples name below `/etc/foregate`.
fn certificates() -> Certificates {
    let certificates = Certificates::new();
    certificates.issue("shop", &["example.com", "www.example.com"]);
    certificates.issue("certs/apps", &["*.apps.example.com"]);
    certificates.issue_client("gateway");
    certificates.put("shop.ocsp", "a response");
    let root = certificates.authority.pem();
    for name in [
        "clients-ca.pem",
        "acme-ca.pem",
        "backends-ca.pem",
        "consul-ca.pem",
    ] {
        certificates.put(name, &root);
    }
    certificates.put("clients.crl", &certificates.authority.revocations(&[]));
    certificates
}

#[test]
fn the_examples_pass() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let certificates = certificates();
    let scratch = Scratch::new();
    let imported = std::fs::read_to_string(format!("{examples}/full.d/docs.toml"));
    scratch.write("full.d/docs.toml", imported.expect("it can be read"));
    let mut checked = 0;
    for entry in std::fs::read_dir(examples)
        .expect("there are examples")
        .flatten()
    {
        let path = entry.path();
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = text.replace("/etc/foregate", &certificates.directory());
        let path = scratch.write(&name, text);
        let run = foregate(&["check", "-c", &path.to_string_lossy()]);
        assert_eq!(run.code, Some(0), "{}: {run:?}", path.display());
        checked += 1;
    }
    assert!(checked > 0, "no examples in {examples}");
}

/// What `check` says of a site with a certificate from files.
fn checked(certificates: &Certificates, stem: &str, key: &str, host: &str, more: &str) -> String {
    let scratch = Scratch::new();
    let text = format!(
        "[listeners.secure]\naddress = '127.0.0.1:443'\ntls = true\n[certificates.shop]\n\
         certificate = '{0}/{stem}.pem'\nkey = '{0}/{key}.key'\n\
         [sites.'{host}']\nupstream = 'app'\n{more}\n[upstreams.app]\nservers = ['127.0.0.1:1']\n",
        certificates.directory()
    );
    let path = scratch.write("foregate.toml", text);
    let run = foregate(&["check", "-c", &path.to_string_lossy()]);
    format!("{} {}", run.code.unwrap_or(-1), run.stderr)
}

#[test]
fn certificates_are_judged_with_the_line_that_names_them() {
    let certificates = Certificates::new();
    let mut good = certificates.authority.issue(&["shop.example"]);
    certificates.put_pair("lone", &good);
    good.chain_pem.push_str(&certificates.authority.pem());
    certificates.put_pair("good", &good);
    certificates.issue("other", &["shop.example"]);
    let over = certificates
        .authority
        .request(&["shop.example"])
        .valid(2001, 2002);
    certificates.put_pair("over", &over.issue());
    certificates.put("none.pem", "nothing of the kind");
    let told = |stem: &str, key: &str, host: &str, more: &str| {
        checked(&certificates, stem, key, host, more)
    };
    let fine = told("good", "good", "shop.example", "");
    assert!(
        fine.starts_with("0 ") && !fine.contains("warning"),
        "{fine}"
    );
    // Its issuer is none that this machine knows.
    let lone = told("lone", "lone", "shop.example", "");
    assert!(
        lone.starts_with("0 ") && lone.contains("warning[doubtful-certificate]"),
        "{lone}"
    );
    let mixed = told("good", "other", "shop.example", "");
    assert!(mixed.starts_with("2 error[bad-certificate]"), "{mixed}");
    assert!(mixed.contains("belongs to another certificate"), "{mixed}");
    assert!(mixed.contains("foregate.toml:6:7"), "{mixed}");
    let missing = told("missing", "good", "shop.example", "");
    assert!(missing.contains("no such file"), "{missing}");
    let none = told("none", "good", "shop.example", "");
    assert!(none.contains("no certificate in the file"), "{none}");
    let over = told("over", "over", "shop.example", "");
    assert!(
        over.starts_with("0 ") && over.contains("warning[doubtful-certificate]"),
        "{over}"
    );
    assert!(over.contains("it has expired on 2002-"), "{over}");
    let elsewhere = told("good", "good", "else.example", "tls = 'files'");
    assert!(elsewhere.contains("error[cannot-certify]"), "{elsewhere}");
    assert!(
        elsewhere.contains("warning[unused-certificate]"),
        "{elsewhere}"
    );
}

#[test]
fn certificates_that_clients_would_refuse_are_told_with_the_cause() {
    let certificates = Certificates::new();
    let told = |stem: &str| checked(&certificates, stem, stem, "shop.example", "");
    let early = certificates
        .authority
        .request(&["shop.example"])
        .valid(2080, 2090);
    certificates.put_pair("early", &early.issue());
    let early = told("early");
    assert!(
        early.starts_with("0 ") && early.contains("warning[doubtful-certificate]"),
        "{early}"
    );
    assert!(
        early.contains("it is not valid before 2080-01-01"),
        "{early}"
    );
    // The issuer's own certificate is known to clients as little as to this machine.
    let mut below = certificates
        .authority
        .below("Story Intermediate")
        .issue(&["shop.example"]);
    certificates.put_pair("below", &below);
    let whole = told("below");
    assert!(!whole.contains("append"), "{whole}");
    below.chain_pem.clone_from(&below.certificate_pem);
    certificates.put_pair("bare", &below);
    let bare = told("bare");
    assert!(
        bare.starts_with("0 ") && bare.contains("its issuer `CN=Story Intermediate`"),
        "{bare}"
    );
    assert!(bare.contains("append the certificate"), "{bare}");
}
