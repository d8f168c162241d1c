//! A folder of certificates is followed as it changes: pairs that come and go, links that are swapped, half a renewal.

use std::fs;
use std::os::unix::fs::symlink;

use foregate_testkit::{Authority, Gateway, Issued, eventually, foregate};
use foregate_tests::secure::{Certificates, curl};

const CONFIG: &str = r#"
state_dir = "{dir}/state"
[listeners.plain]
address = "127.0.0.1:0"
[listeners.secure]
address = "127.0.0.1:0"
tls = true
protocols = ["h1"]
# Nobody is there.
[acme]
directory = "https://127.0.0.1:1/directory"
[certificates.all]
folder = "{certificates}/{folder}"
[sites."one.example"]
routes = [{ respond = { status = 200, body = "one" } }]
[sites."two.example"]
routes = [{ respond = { status = 200, body = "two" } }]
"#;

const FILES: &str = "foregate_certificate_files";
const KEPT: &str = "a new certificate cannot be served, the one before stays in service";

/// curl's exit codes, by what it is shown.
const TRUSTED: i32 = 0;
const REFUSED: i32 = 35;
const STRANGERS: i32 = 60;

struct Story {
    certificates: Certificates,
    /// Issues the next certificates; curl does not know it.
    next: Authority,
    gateway: Gateway,
}

impl Story {
    fn begin(certificates: Certificates, folder: &str) -> Story {
        let gateway = Gateway::new(CONFIG)
            .fill("certificates", certificates.directory())
            .fill("folder", folder)
            .start();
        Story {
            certificates,
            next: Authority::new("Next Root"),
            gateway,
        }
    }

    fn code(&self, host: &str) -> i32 {
        let secure = self.gateway.listener("secure");
        self.certificates.curl(secure, host, "/", &[]).code()
    }

    fn wait_code(&self, host: &str, expected: i32) {
        eventually(&format!("curl ends with {expected} for {host}"), || {
            (self.code(host) == expected).then_some(())
        });
    }

    /// What a request in cleartext is answered with: to HTTPS once the site has a certificate.
    fn cleartext(&self, host: &str) -> u16 {
        let url = format!("http://{}/", self.gateway.listener("plain"));
        curl(&["-H", &format!("Host: {host}"), &url]).status()
    }

    fn assert_no_reload(&self) {
        let log = self.gateway.stderr();
        assert!(!log.contains("configuration reloaded"), "{log}");
    }

    /// What is told of the one certificate from files that a host has.
    fn shown(&self, host: &str) -> serde_json::Value {
        let told = self.gateway.admin_send("GET", "/certificates", "").json();
        let all = told["certificates"].as_array().cloned().unwrap_or_default();
        let is_its = |one: &serde_json::Value| {
            one["source"] == "files" && one["names"] == serde_json::json!([host])
        };
        let mut all: Vec<_> = all.into_iter().filter(is_its).collect();
        assert_eq!(all.len(), 1, "{told:#}");
        all.remove(0)
    }

    fn wait_files(&self, state: &str, count: f64) {
        self.gateway.wait_metric(FILES, &[("state", state)], count);
    }
}

/// Has a link lead elsewhere in one step.
fn swap(certificates: &Certificates, link: &str, to: &str) {
    let later = certificates.path(&format!("{link}.later"));
    symlink(to, &later).expect("a link can be made");
    fs::rename(later, certificates.path(link)).expect("a link can be renamed");
}

#[test]
fn pairs_that_come_are_served_and_those_that_go_are_missed() {
    let certificates = Certificates::new();
    certificates.issue("all/one", &["one.example"]);
    let story = Story::begin(certificates, "all");
    assert_eq!(story.code("one.example"), TRUSTED);
    assert_eq!(story.code("two.example"), REFUSED);
    let in_cleartext = || ["one.example", "two.example"].map(|host| story.cleartext(host));
    assert_eq!(in_cleartext(), [308, 200]);

    let two = story.certificates.authority.issue(&["two.example"]);
    let put = |name: &str, text: &str| story.certificates.put(name, text);
    put("all/two.example/privkey.pem", &two.key_pem);
    put("all/two.example/fullchain.pem", &two.chain_pem);
    story.wait_code("two.example", TRUSTED);
    assert_eq!(in_cleartext(), [308, 308]);
    story.wait_files("active", 2.0);

    for file in ["all/one.pem", "all/one.key"] {
        fs::remove_file(story.certificates.path(file)).expect("it was there");
    }
    let lost = "names have lost their last good certificate";
    let log = story.gateway.wait_stderr(lost);
    assert!(log.contains("names=one.example"), "{log}");
    story.wait_code("one.example", REFUSED);
    assert_eq!(in_cleartext(), [200, 308]);
    story.wait_files("active", 1.0);
    story.assert_no_reload();
}

/// As Kubernetes mounts a secret: links lead through one that is swapped.
#[test]
fn a_mounted_secret_is_followed_and_a_bad_one_is_not() {
    let certificates = Certificates::new();
    let put = |certificates: &Certificates, turn: &str, chain: &str, key: &str| {
        certificates.put(&format!("all/..{turn}/tls.crt"), chain);
        certificates.put(&format!("all/..{turn}/tls.key"), key);
    };
    let first = certificates.authority.issue(&["one.example"]);
    put(&certificates, "first", &first.chain_pem, &first.key_pem);
    swap(&certificates, "all/..data", "..first");
    for name in ["tls.crt", "tls.key"] {
        let link = certificates.path(&format!("all/{name}"));
        symlink(format!("..data/{name}"), link).expect("a link can be made");
    }
    let story = Story::begin(certificates, "all");
    assert_eq!(story.code("one.example"), TRUSTED);
    story.wait_files("active", 1.0);
    let turn = |turn: &str, chain: &str, key: &str| {
        put(&story.certificates, turn, chain, key);
        swap(&story.certificates, "all/..data", &format!("..{turn}"));
    };
    let second = story.next.issue(&["one.example"]);
    // The key of another certificate.
    turn("bad", &second.chain_pem, &first.key_pem);
    let log = story.gateway.wait_stderr(KEPT);
    assert!(log.contains("belongs to another certificate"), "{log}");
    story.wait_files("renewed-but-not-active", 1.0);
    assert_eq!(story.code("one.example"), TRUSTED);
    let kept = story.shown("one.example");
    assert_eq!(kept["state"], "renewed-not-active");
    let admin = story.gateway.listener("admin").to_string();
    let table = foregate(&["certs", "--admin", &admin]).stdout;
    assert!(table.contains("renewed-not-active"), "{table}");
    assert!(table.contains("belongs to another certificate"), "{table}");
    // One that has ended.
    let over = story.next.request(&["one.example"]).valid(2001, 2002);
    let over = over.issue();
    turn("over", &over.chain_pem, &over.key_pem);
    story.gateway.wait_stderr("it has expired on 2002-");
    assert_eq!(story.code("one.example"), TRUSTED);
    story.wait_files("renewed-but-not-active", 1.0);

    turn("second", &second.chain_pem, &second.key_pem);
    story.wait_code("one.example", STRANGERS);
    story.wait_files("renewed-but-not-active", 0.0);
    let active = story.shown("one.example");
    assert_eq!(active["state"], "active");
    assert_eq!(active["last_error"], serde_json::Value::Null);
    story.assert_no_reload();
}

/// As certbot keeps them: each file is a link of its own, and they are swapped one after the other.
#[test]
fn half_a_renewal_changes_nothing_until_the_rest_is_there() {
    let certificates = Certificates::new();
    let archive = |certificates: &Certificates, number: u8, issued: &Issued| {
        let path = |stem: &str| format!("archive/one/{stem}{number}.pem");
        certificates.put(&path("fullchain"), &issued.chain_pem);
        certificates.put(&path("privkey"), &issued.key_pem);
    };
    let point = |certificates: &Certificates, stem: &str, number: u8| {
        let link = format!("live/one/{stem}.pem");
        swap(
            certificates,
            &link,
            &format!("../../archive/one/{stem}{number}.pem"),
        );
    };
    archive(
        &certificates,
        1,
        &certificates.authority.issue(&["one.example"]),
    );
    fs::create_dir_all(certificates.path("live/one")).expect("a folder can be made");
    for stem in ["privkey", "fullchain"] {
        point(&certificates, stem, 1);
    }
    let story = Story::begin(certificates, "live");
    assert_eq!(story.code("one.example"), TRUSTED);
    archive(&story.certificates, 2, &story.next.issue(&["one.example"]));
    point(&story.certificates, "privkey", 2);
    story.gateway.wait_stderr(KEPT);
    assert_eq!(story.code("one.example"), TRUSTED);
    point(&story.certificates, "fullchain", 2);
    story.wait_code("one.example", STRANGERS);
    story.wait_files("active", 1.0);
    story.wait_files("renewed-but-not-active", 0.0);
    story.assert_no_reload();
}

#[test]
fn what_is_out_of_its_time_is_served_and_told() {
    let certificates = Certificates::new();
    let issue = |stem: &str, host: &str, from: i32, to: i32| {
        let request = certificates.authority.request(&[host]).valid(from, to);
        certificates.put_pair(&format!("all/{stem}"), &request.issue());
    };
    issue("one", "one.example", 2001, 2002);
    issue("two", "two.example", 2080, 2090);
    let story = Story::begin(certificates, "all");
    let log = story.gateway.wait_stderr("it has expired on 2002-01-01");
    assert!(log.contains("it is not valid before 2080-01-01"), "{log}");
    // Nothing that was encrypted goes in cleartext since a certificate has ended; a site whose first one is not good yet stays
    // as it was.
    let all = [
        ("one.example", "expired", 308),
        ("two.example", "not-yet-valid", 200),
    ];
    for (host, state, status) in all {
        assert_eq!(story.shown(host)["state"], state, "{host}");
        // Clients see what is wrong, and not that nobody has the name.
        let secure = story.gateway.listener("secure");
        let seen = story.certificates.curl(secure, host, "/", &[]);
        assert_eq!(seen.code(), STRANGERS, "{host}: {}", seen.complaint());
        assert_eq!(story.cleartext(host), status, "{host}");
    }
}
