//! Certificates in files are watched: a new one is served without a reload, a broken one changes nothing.

use std::os::unix::fs::symlink;

use foregate_testkit::{Answer, Authority, Backend, Gateway, Signal, eventually};
use foregate_tests::secure::{Certificates, curl};

const CONFIG: &str = r#"
[listeners.plain]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
[certificates.one]
certificate = "{certificates}/{folder}/one.pem"
key = "{certificates}/{folder}/one.key"
[sites."one.example"]
upstream = "app"
tls = "files"
[upstreams.app]
servers = ["{backend}"]
"#;

struct Story {
    certificates: Certificates,
    /// Issues the next certificates; curl does not know it.
    next: Authority,
    gateway: Gateway,
}

impl Story {
    fn begin(folder: &str) -> Story {
        let certificates = Certificates::new();
        let backend = Backend::answering(|_| Answer::ok("yes"));
        certificates.issue("one", &["one.example"]);
        certificates.issue("first/one", &["one.example"]);
        let now = format!("{}/now", certificates.directory());
        symlink("first", now).expect("a link can be made");
        let gateway = Gateway::new(CONFIG)
            .fill("certificates", certificates.directory())
            .fill("folder", folder)
            .fill("backend", backend.address())
            .start();
        Story {
            certificates,
            next: Authority::new("Next Root"),
            gateway,
        }
    }

    /// curl's exit code: 0 for the first certificate, 60 for one of the next authority.
    fn code(&self) -> i32 {
        let secure = self.gateway.listener("secure");
        self.certificates
            .curl(secure, "one.example", "/", &[])
            .code()
    }

    fn wait_code(&self, expected: i32) {
        eventually(&format!("curl ends with {expected}"), || {
            (self.code() == expected).then_some(())
        });
    }
}

#[test]
fn a_new_certificate_is_served_without_a_reload() {
    let story = Story::begin(".");
    assert_eq!(story.code(), 0);
    let issued = story.next.issue(&["one.example"]);
    story.certificates.put_pair("one", &issued);
    story.wait_code(60);
    assert!(!story.gateway.stderr().contains("configuration reloaded"));
}

#[test]
fn a_link_that_is_swapped_is_followed() {
    let story = Story::begin("now");
    assert_eq!(story.code(), 0);
    let issued = story.next.issue(&["one.example"]);
    story.certificates.put_pair("second/one", &issued);
    let directory = story.certificates.directory();
    symlink("second", format!("{directory}/later")).expect("a link can be made");
    let swapped = std::fs::rename(format!("{directory}/later"), format!("{directory}/now"));
    swapped.expect("a link can be renamed");
    story.wait_code(60);
}

#[test]
fn a_broken_file_keeps_the_certificate_of_before_and_raises_an_alarm() {
    let story = Story::begin(".");
    story.certificates.put("one.pem", "nothing of the kind");
    story
        .gateway
        .wait_stderr("a new certificate cannot be served, the one before stays in service");
    assert_eq!(story.code(), 0);
    // Put right, it is served.
    let issued = story.next.issue(&["one.example"]);
    story.certificates.put_pair("one", &issued);
    story.wait_code(60);
}

#[test]
fn a_file_for_another_name_keeps_the_certificate_of_before_and_raises_an_alarm() {
    let story = Story::begin("now");
    let in_cleartext = || {
        let url = format!("http://{}/", story.gateway.listener("plain"));
        curl(&["-H", "Host: one.example", &url]).status()
    };
    assert_eq!((story.code(), in_cleartext()), (0, 308));
    story.certificates.issue("second/one", &["two.example"]);
    let directory = story.certificates.directory();
    symlink("second", format!("{directory}/later")).expect("a link can be made");
    let swapped = std::fs::rename(format!("{directory}/later"), format!("{directory}/now"));
    swapped.expect("a link can be renamed");
    let told = story
        .gateway
        .wait_stderr("a new certificate cannot be served, the one before stays in service");
    let why = "it is not valid for `one.example`, only for two.example";
    assert!(told.contains(why), "{told}");
    assert_eq!((story.code(), in_cleartext()), (0, 308));
    let labels = [("state", "renewed-but-not-active")];
    story
        .gateway
        .wait_metric("foregate_certificate_files", &labels, 1.0);
    // A reload says the same.
    story.gateway.signal(Signal::Hup);
    story
        .gateway
        .wait_stderr("no certificate from files is valid for `one.example`");
    assert_eq!((story.code(), in_cleartext()), (0, 308));
}

#[test]
fn a_new_file_that_is_refused_is_shown_with_the_reason() {
    let story = Story::begin(".");
    let shown = |name: &str| {
        let all = story.gateway.admin_send("GET", "/certificates", "").json();
        let all = all["certificates"].as_array().cloned().unwrap_or_default();
        let mut all = all.into_iter();
        all.find(|one| one["certificate"] == name)
            .expect("it is there")
    };
    let good = shown("one");
    assert_eq!(good["state"], "active");
    assert_eq!(good["last_error"], serde_json::Value::Null);
    assert_eq!(good["listeners"], serde_json::json!(["secure"]));
    story.certificates.put("one.pem", "nothing of the kind");
    story.gateway.wait_stderr("the one before stays in service");
    let refused = shown("one");
    assert_eq!(refused["state"], "renewed-not-active");
    assert_eq!(refused["names"], good["names"]);
    assert_eq!(refused["last_error"]["reason"], "no-certificate");
    let detail = refused["last_error"]["detail"].as_str().expect("a text");
    assert!(
        detail.contains("one.pem: no certificate in the file"),
        "{detail}"
    );
    // Put right, nothing is wrong with it.
    let issued = story.next.issue(&["one.example"]);
    story.certificates.put_pair("one", &issued);
    story.wait_code(60);
    assert_eq!(shown("one")["state"], "active");
    assert_eq!(shown("one")["last_error"], serde_json::Value::Null);
}

#[test]
fn the_certificate_for_unknown_names_is_shown_with_all_its_listeners() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    certificates.issue("other", &["other.example"]);
    let config = format!(
        "{CONFIG}
[tls]
default_certificate = \"other\"
[certificates.other]
certificate = \"{{certificates}}/other.pem\"
key = \"{{certificates}}/other.key\"
"
    );
    let gateway = Gateway::new(&config)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:9")
        .start();
    let told = gateway.admin_send("GET", "/certificates", "").json();
    assert_eq!(told["certificates"][1]["certificate"], "other", "{told:#}");
    assert_eq!(
        told["certificates"][1]["listeners"],
        serde_json::json!(["secure"])
    );
}

#[test]
fn a_missing_statement_about_revocation_is_told_and_keeps_nothing_out() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    let key = "key = \"{certificates}/{folder}/one.key\"\n";
    let config = CONFIG.replace(
        key,
        &format!("{key}ocsp = \"{{certificates}}/none.ocsp\"\n"),
    );
    let gateway = Gateway::new(&config)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:9");
    let run = gateway.command(&["check"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(0), "{told}");
    assert!(told.contains("nothing is shown about revocation"), "{told}");
}

#[test]
fn check_tells_of_a_certificate_that_another_of_its_name_keeps_from_being_served() {
    let certificates = Certificates::new();
    certificates.issue("all/one/tls", &["other.example"]);
    let place = |name: &str| certificates.path(&format!("all/one/tls.{name}"));
    std::fs::rename(place("pem"), place("crt")).expect("a file can be renamed");
    certificates.issue("all/one", &["one.example"]);
    let pair = "certificate = \"{certificates}/{folder}/one.pem\"
key = \"{certificates}/{folder}/one.key\"";
    let check = |site: &str| {
        let config = CONFIG
            .replace(pair, "folder = \"{certificates}/all\"")
            .replace("[sites.\"one.example\"]", site);
        let gateway = Gateway::new(&config)
            .fill("certificates", certificates.directory())
            .fill("backend", "127.0.0.1:1");
        let run = gateway.command(&["check"]);
        (run.code, format!("{}{}", run.stdout, run.stderr))
    };
    let (code, told) = check("[sites.\"one.example\"]");
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("one/tls.crt` is not served"), "{told}");
    let (code, told) = check("[sites.\"other.example\"]");
    assert_eq!(code, Some(2), "{told}");
    let problem = "no certificate from files is valid for `other.example`";
    assert!(told.contains(problem), "{told}");
}

#[test]
fn check_tells_of_a_host_that_neither_files_nor_an_authority_can_give_a_certificate() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example", "x.covered.example"]);
    let config = format!(
        "{CONFIG}
[sites.\"*.bare.example\"]
upstream = \"app\"
[sites.\"*.covered.example\"]
upstream = \"app\"
"
    );
    let run = Gateway::new(&config)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:1")
        .command(&["check"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(0), "{told}");
    assert_eq!(told.matches("no-certificate").count(), 1, "{told}");
    let problem = "there is no way to a certificate for `*.bare.example`";
    assert!(told.contains(problem), "{told}");
    assert!(told.contains("[sites.\"*.bare.example\"]"), "{told}");
}

#[test]
fn check_tells_of_a_file_at_the_line_that_names_it_for_what_it_is_not() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    let asked = r#"client_certificate = { ca_file = "{certificates}/one.key" }"#;
    let config = CONFIG.replace("tls = \"files\"", &format!("tls = \"files\"\n{asked}"));
    let run = Gateway::new(&config)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:1")
        .command(&["check"]);
    assert_eq!(run.code, Some(2), "{}{}", run.stdout, run.stderr);
    assert!(run.stderr.contains("ca_file = "), "{}", run.stderr);
    assert!(!run.stderr.contains("\nkey = "), "{}", run.stderr);
}

#[test]
fn check_tells_of_a_key_that_is_too_short_with_its_bits() {
    let certificates = Certificates::new();
    let (chain, key) = (certificates.path("one.pem"), certificates.path("one.key"));
    let made = std::process::Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "9",
        ])
        .args(["-subj", "/CN=one.example"])
        .args(["-addext", "subjectAltName=DNS:one.example"])
        .args(["-out", &chain, "-keyout", &key])
        .output()
        .expect("openssl is installed (apt-get install openssl)");
    assert!(made.status.success(), "{made:?}");
    let run = Gateway::new(CONFIG)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:1")
        .command(&["check"]);
    let expected = "an RSA key of 1024 bits is too short, it must have 2048 or more";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
}

#[test]
fn ticket_keys_are_told_as_what_they_are() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    certificates.put("tickets", &"00".repeat(32));
    let gateway = Gateway::new(&format!(
        "{CONFIG}\n[tls]\nticket_keys_file = \"{{certificates}}/tickets\"\n"
    ))
    .fill("certificates", certificates.directory())
    .fill("folder", ".")
    .fill("backend", "127.0.0.1:1")
    .start();
    gateway.wait_stderr("session ticket keys in force");
    certificates.put("tickets", "no key");
    let told = gateway.wait_stderr("new session ticket keys cannot be used, those before stay");
    assert!(
        told.contains("the ticket keys can't be read: line 1"),
        "{told}"
    );
    assert!(!told.contains("private key"), "{told}");
}

#[test]
fn check_tells_of_an_ocsp_response_that_is_not_shown() {
    let certificates = Certificates::new();
    certificates.issue("one", &["one.example"]);
    certificates.put("one.ocsp", "no statement at all");
    let config = CONFIG.replace(
        "[certificates.one]",
        "[certificates.one]\nocsp = \"{certificates}/one.ocsp\"",
    );
    let run = Gateway::new(&config)
        .fill("certificates", certificates.directory())
        .fill("folder", ".")
        .fill("backend", "127.0.0.1:1")
        .command(&["check"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(0), "{told}");
    assert!(told.contains("doubtful-certificate"), "{told}");
    assert!(told.contains("the OCSP response is not shown"), "{told}");
    assert!(told.contains("ocsp = "), "{told}");
}

/// It was told as if something were wrong with the text, and the process ended with the code of that.
#[test]
fn a_state_folder_that_cannot_be_used_ends_a_start_like_a_port_that_is_taken() {
    let text = "state_dir = \"{dir}/state\"\n[listeners.secure]\naddress = \"127.0.0.1:0\"\ntls = true\n\
        [[sites.\"a.internal\".routes]]\nrespond = { status = 200 }\n";
    let run = Gateway::new(text).file("state", "A file.").run_to_end();
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(
        run.stderr.contains("error: the state folder `"),
        "{}",
        run.stderr
    );
}

/// The internal authority has a certificate for it that another site's hosts are shown.
#[test]
fn a_site_of_files_is_shown_nothing_that_was_issued() {
    let certificates = Certificates::new();
    certificates.issue("folder/x", &["x.localhost"]);
    let backend = Backend::answering(|_| Answer::ok("yes"));
    let gateway = Gateway::new(
        r#"
        [listeners.secure]
        address = "127.0.0.1:0"
        tls = true
        [certificates.some]
        folder = "{certificates}/folder"
        [sites."x.localhost"]
        upstream = "app"
        tls = "files"
        [sites."*.localhost"]
        upstream = "app"
        tls = "internal"
        [upstreams.app]
        servers = ["{backend}"]
        "#,
    )
    .fill("certificates", certificates.directory())
    .fill("backend", backend.address())
    .start();
    let secure = gateway.listener("secure");
    let code = |host: &str| certificates.curl(secure, host, "/", &[]).code();
    assert_eq!((code("x.localhost"), code("y.localhost")), (0, 60));
    std::fs::remove_file(format!("{}/folder/x.pem", certificates.directory()))
        .expect("it was there");
    eventually("the handshake is refused", || {
        (code("x.localhost") == 35).then_some(())
    });
    assert_eq!(code("y.localhost"), 60);
}

/// Which of a folder's certificates were meant, and what came in its place when its files went, nobody could say.
#[test]
fn a_folder_is_no_certificate_for_unknown_names() {
    let certificates = Certificates::new();
    certificates.issue("folder/x", &["x.example"]);
    let gateway = Gateway::new(
        r#"
        [tls]
        default_certificate = "some"
        [certificates.some]
        folder = "{certificates}/folder"
        [sites."*"]
        [[sites."*".routes]]
        respond = { status = 204 }
        "#,
    )
    .fill("certificates", certificates.directory());
    let run = gateway.command(&["check"]);
    let told = format!("{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(2), "{told}");
    assert!(
        told.contains("`some` is a folder of certificates"),
        "{told}"
    );
}
