use super::*;
use foregate_testkit::{Authority, Issued};

/// 2026-01-01 and the first days of some other years, in seconds since 1970.
const Y2026: i64 = 1_767_225_600;
const Y2010: i64 = 1_262_304_000;

fn loaded(issued: &Issued) -> LoadedCertificate {
    load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap()
}

fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::name).collect()
}

#[test]
fn a_chain_and_its_key_are_read() {
    let root = Authority::new("Root");
    let below = root.below("Below");
    let certificate = loaded(&below.issue(&["example.com", "*.example.com", "127.0.0.1"]));
    assert_eq!(certificate.subject, "CN=example.com");
    assert_eq!(certificate.issuer, "CN=Below");
    assert_eq!(certificate.chain().len(), 2);
    assert_eq!(certificate.key_kind, KeyKind::Ecdsa);
    assert!(certificate.serves("www.example.com"));
    assert!(certificate.serves("127.0.0.1"));
    assert!(!certificate.serves("example.org"));
    let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
    assert_eq!(certificate.judge(Y2026, Some(&roots)), []);
}

#[test]
fn rsa_keys_are_read_in_every_encoding() {
    let root = Authority::new("Root");
    let issued = root.request(&["example.com"]).rsa().issue();
    assert_eq!(loaded(&issued).key_kind, KeyKind::Rsa(2048));
}

#[test]
fn the_key_of_another_certificate_is_refused() {
    let root = Authority::new("Root");
    let (one, other) = (root.issue(&["example.com"]), root.issue(&["example.com"]));
    let fault = load(one.chain_pem.as_bytes(), other.key_pem.as_bytes()).unwrap_err();
    assert_eq!(fault, Finding::KeyMismatch);
}

#[test]
fn what_is_not_there_or_not_readable_is_named() {
    let root = Authority::new("Root");
    let issued = root.issue(&["example.com"]);
    let (chain, key) = (issued.chain_pem.as_bytes(), issued.key_pem.as_bytes());
    let fault = |chain: &[u8], key: &[u8]| load(chain, key).unwrap_err().name();
    assert_eq!(fault(key, key), "no-certificate");
    assert_eq!(fault(chain, chain), "no-key");
    assert_eq!(fault(b"", key), "no-certificate");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(fault(broken.as_bytes(), key), "malformed-certificate");
    let cut = &chain[..chain.len() - 40];
    assert_eq!(fault(cut, key), "malformed-certificate");
    let told = load(cut, key).unwrap_err().to_string();
    let expected = "the PEM block `CERTIFICATE` has no end; is the file cut off?";
    assert!(told.ends_with(expected), "{told}");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(fault(chain, encrypted.as_bytes()), "unsupported-key");
    let many = issued.chain_pem.repeat(CHAIN_CERTIFICATES_MAX + 1);
    assert_eq!(fault(many.as_bytes(), key), "malformed-certificate");
}

/// What is told of a chain and a key; none of the key's own text is.
#[track_caller]
fn told_without_key(chain: &str, key: &str, secret: &str) -> String {
    /// So many characters of a key in a row are no accident.
    const SHOWN_MAX: usize = 5;
    let told = load(chain.as_bytes(), key.as_bytes())
        .unwrap_err()
        .to_string();
    let body: String = secret
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    for shown in body.as_bytes().windows(SHOWN_MAX + 1) {
        let shown = std::str::from_utf8(shown).unwrap();
        assert!(!told.contains(shown), "{shown} in: {told}");
    }
    told
}

#[test]
fn nothing_of_a_key_that_lost_its_line_breaks_is_told() {
    let root = Authority::new("Root");
    let issued = root.issue(&["example.com"]);
    let (chain, pkcs8) = (&issued.chain_pem, &issued.key_pem);
    let ec = pkcs8.replace("PRIVATE KEY", "EC PRIVATE KEY");
    for (key, label) in [(pkcs8, "PRIVATE KEY"), (&ec, "EC PRIVATE KEY")] {
        for between in [" ", "\\n", ""] {
            let line = key.replace('\n', between);
            let both = format!("{chain}{line}");
            for (chain, key) in [(chain, &line), (&both, &both), (&line, key)] {
                let told = told_without_key(chain, key, pkcs8);
                let expected = format!("the PEM block `{label}` has lost its line breaks");
                assert!(told.contains(&expected), "{told}");
            }
        }
        // A line too few, or too many dashes.
        let joined = key.replacen('\n', "", 1);
        told_without_key(chain, &joined, pkcs8);
        let bare = key.replacen("-----\n", " ", 1);
        told_without_key(chain, &bare, pkcs8);
        let dashes = key.replacen("-----\n", "------\n", 1);
        let told = told_without_key(chain, &dashes, pkcs8);
        assert!(told.ends_with("does not end in `-----`"), "{told}");
        let cut = &key[..key.len() - 20];
        let told = told_without_key(chain, cut, pkcs8);
        assert!(told.ends_with("has no end; is the file cut off?"), "{told}");
        let told = told_without_key(chain, &key.replacen("\nM", "\n!", 1), pkcs8);
        assert!(told.ends_with("a PEM block is no base64"), "{told}");
    }
}

#[test]
fn times_are_judged() {
    let root = Authority::new("Root");
    let certificate = loaded(&root.request(&["example.com"]).valid(2020, 2025).issue());
    let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
    assert_eq!(names(&certificate.judge(Y2026, Some(&roots))), ["expired"]);
    assert_eq!(
        names(&certificate.judge(Y2010, Some(&roots))),
        ["not-yet-valid"]
    );
    let text = certificate.judge(Y2026, None)[0].to_string();
    assert_eq!(text, "it has expired on 2025-01-01");
}

#[test]
fn a_missing_intermediate_is_found() {
    let root = Authority::new("Root");
    let issued = root.below("Below").issue(&["example.com"]);
    let alone = load(issued.certificate_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
    let findings = alone.judge(Y2026, Some(&roots));
    assert_eq!(names(&findings), ["missing-intermediate"]);
    assert!(findings[0].to_string().contains("`CN=Below`"));
    assert_eq!(findings[0].severity(), Severity::Warning);
    assert_eq!(loaded(&issued).judge(Y2026, Some(&roots)), []);
}

#[test]
fn a_chain_in_the_wrong_order_is_found() {
    let root = Authority::new("Root");
    let stranger = Authority::new("Stranger");
    let issued = root.below("Below").issue(&["example.com"]);
    let chain = format!("{}{}", issued.certificate_pem, stranger.pem());
    let wrong = load(chain.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    assert_eq!(names(&wrong.judge(Y2026, None)), ["chain-broken"]);
    // An authority of the same name with another key did not issue it either.
    let twin = root.below("Below");
    let other = twin.issue(&["example.com"]).chain_pem;
    let below_pem = other
        .split_inclusive("-----END CERTIFICATE-----\n")
        .nth(1)
        .unwrap();
    let chain = format!("{}{below_pem}", issued.certificate_pem);
    let wrong = load(chain.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    assert_eq!(names(&wrong.judge(Y2026, None)), ["chain-broken"]);
}

#[test]
fn a_site_that_is_not_covered_is_told_what_is() {
    let root = Authority::new("Root");
    let certificate = loaded(&root.issue(&["example.com", "*.example.com"]));
    assert_eq!(certificate.judge_name("www.example.com"), None);
    let finding = certificate.judge_name("example.org").unwrap();
    assert_eq!(
        finding.to_string(),
        "it is not valid for `example.org`, only for example.com, *.example.com"
    );
}

#[test]
fn a_certificate_without_names_is_found() {
    let root = Authority::new("Root");
    let certificate = loaded(&root.issue(&[]));
    let roots = Roots::from_pem(root.pem().as_bytes()).unwrap();
    assert_eq!(names(&certificate.judge(Y2026, Some(&roots))), ["no-name"]);
}

#[test]
fn a_certificate_that_is_for_clients_alone_is_told() {
    let root = Authority::new("Root");
    let certificate = loaded(&root.issue_client("alice"));
    let findings = certificate.judge(Y2026, None);
    assert!(names(&findings).contains(&"wrong-purpose"), "{findings:?}");
    let certificate = loaded(&root.issue(&["example.com"]));
    assert!(!names(&certificate.judge(Y2026, None)).contains(&"wrong-purpose"));
}

#[test]
fn a_wildcard_that_is_no_whole_label_is_told() {
    let root = Authority::new("Root");
    let certificate = loaded(&root.issue(&["s*.example.com"]));
    let findings = certificate.judge(Y2026, None);
    assert!(
        names(&findings).contains(&"partial-wildcard"),
        "{findings:?}"
    );
    let told = findings.last().unwrap().to_string();
    assert!(
        told.contains("`s*.example.com` is valid for no host"),
        "{told}"
    );
    let certificate = loaded(&root.issue(&["*.example.com", "example.com"]));
    assert!(!names(&certificate.judge(Y2026, None)).contains(&"partial-wildcard"));
}

#[test]
fn byte_order_marks_hide_no_certificate() {
    let below = Authority::new("Root").below("Below");
    let issued = below.issue(&["example.com"]);
    let mark = |pem: &str| pem.replace("-----BEGIN", "\u{feff}-----BEGIN");
    let (chain, key) = (mark(&issued.chain_pem), mark(&issued.key_pem));
    let certificate = load(chain.as_bytes(), key.as_bytes()).unwrap();
    assert_eq!(certificate.chain().len(), 2);
    assert_eq!(certificate.subject, "CN=example.com");
    let roots = Roots::from_pem(mark(&below.pem()).as_bytes()).unwrap();
    assert_eq!(roots.len(), 1);
    // What is no mark stays as it is.
    let comment = "caf\u{e9} \u{feef}\n";
    assert_eq!(&*without_marks(comment.as_bytes()), comment.as_bytes());
}
