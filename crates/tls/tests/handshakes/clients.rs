//! Clients of every kind.

use crate::handshakes::peers::{
    Manner, Outcome, Server, file, finish, openssl, plan, served, shared,
};
use foregate_message::{TlsFacts, TlsVersion};
use foregate_testkit::{Authority, Issued, Scratch};
use foregate_tls::{
    AcceptorPlan, Alpn, CertifiedKey, ChallengeSource, ClientAuthPlan, HandshakeFault,
    MissingNames, NamePlan, Profile, certificate,
};
use std::process::Command;
use std::sync::{Arc, Mutex};

#[test]
fn openssl_speaks_both_versions() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    for (version, expected) in [
        ("-tls1_3", TlsVersion::Tls13),
        ("-tls1_2", TlsVersion::Tls12),
    ] {
        let arguments = [version, "-servername", "LOCALHOST", "-quiet", "-no_ign_eof"];
        openssl(&server, &arguments, "hello\n");
        let facts = server.facts();
        assert_eq!(facts.version, expected);
        assert_eq!(facts.server_name.as_deref(), Some("localhost"));
        assert!(!facts.resumed && !facts.early && facts.trust == 0 && facts.client.is_none());
        assert!(facts.cipher.starts_with("TLS_"), "{}", facts.cipher);
        let (bytes, end) = server.ended();
        assert_eq!(bytes, 6);
        end.unwrap();
    }
}

#[test]
fn every_cipher_that_is_offered_carries_data() {
    let authority = Authority::new("Root");
    let rsa = authority.request(&["localhost"]).rsa().issue();
    let ecdsa = authority.issue(&["localhost"]);
    let shared = shared(vec![served("rsa", &rsa), served("ecdsa", &ecdsa)]);
    let server = Server::start(&plan(), shared, Manner::Echo);
    let check = |arguments: &[&str], cipher: &str| {
        let mut all = vec!["-servername", "localhost", "-quiet", "-no_ign_eof"];
        all.extend(arguments);
        openssl(&server, &all, "hello\n");
        assert_eq!(server.facts().cipher, cipher);
        let (bytes, end) = server.ended();
        assert_eq!(bytes, 6, "{cipher}");
        end.unwrap();
    };
    for suite in [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ] {
        check(&["-tls1_3", "-ciphersuites", suite], suite);
    }
    for (suite, name) in [
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            "ECDHE-RSA-AES256-GCM-SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        ),
        (
            "ECDHE-RSA-CHACHA20-POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ),
    ] {
        check(&["-tls1_2", "-cipher", suite], name);
    }
}

#[test]
fn old_clients_get_the_rsa_certificate() {
    let authority = Authority::new("Root");
    let rsa = authority.request(&["localhost"]).rsa().issue();
    let ecdsa = authority.issue(&["localhost"]);
    let shared = shared(vec![served("rsa", &rsa), served("ecdsa", &ecdsa)]);
    let server = Server::start(&plan(), shared, Manner::Echo);
    let modern = openssl(&server, &["-servername", "localhost"], "Q\n");
    assert!(modern.contains("Peer signature type: ECDSA"), "{modern}");
    let arguments = [
        "-servername",
        "localhost",
        "-sigalgs",
        "RSA-PSS+SHA256:RSA+SHA256",
    ];
    let old = openssl(&server, &arguments, "Q\n");
    assert!(old.contains("Peer signature type: RSA-PSS"), "{old}");
    let arguments = [
        "-servername",
        "localhost",
        "-tls1_2",
        "-cipher",
        "ECDHE-RSA-AES128-GCM-SHA256",
    ];
    let older = openssl(&server, &arguments, "Q\n");
    assert!(older.contains("Peer signature type: RSA"), "{older}");
}

#[test]
fn the_protocol_is_agreed_on() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let check = |protocols: &[&str], expected: Alpn| {
        let mut arguments = vec!["-servername", "localhost"];
        arguments.extend(protocols);
        openssl(&server, &arguments, "Q\n");
        match server.outcome() {
            Outcome::Done(_, alpn) => assert_eq!(alpn, expected),
            other => panic!("{other:?}"),
        }
        server.ended().1.unwrap();
    };
    check(&["-alpn", "http/1.1,h2"], Alpn::Http2);
    check(&["-alpn", "http/1.1"], Alpn::Http1);
    check(&[], Alpn::None);
    openssl(
        &server,
        &["-servername", "localhost", "-alpn", "smtp"],
        "Q\n",
    );
    assert_eq!(server.fault(), HandshakeFault::NoSharedProtocol);
}

#[test]
fn curl_trusts_the_chain_and_gets_its_answer() {
    let authority = Authority::new("Root");
    let below = authority.below("Below");
    let scratch = Scratch::new();
    let ca = file(&scratch, "ca.pem", &authority.pem());
    let issued = below.issue(&["a.test"]);
    let server = Server::start(&plan(), shared(vec![served("a", &issued)]), Manner::Http);
    let port = server.address.port();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--http1.1", "--cacert", &ca, "-w", "%{http_code}"])
        .args(["--resolve", &format!("a.test:{port}:127.0.0.1")])
        .arg(format!("https://a.test:{port}/"));
    assert_eq!(finish(curl, ""), "hello200");
    assert_eq!(server.facts().server_name.as_deref(), Some("a.test"));
}

#[test]
fn cleartext_http_is_answered_in_clear_text() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-i", &format!("http://{}/", server.address)]);
    let answer = finish(curl, "");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request"), "{answer}");
    assert!(answer.contains("This port speaks HTTPS"), "{answer}");
    assert_eq!(server.fault(), HandshakeFault::CleartextHttp);
}

#[test]
fn an_unknown_name_is_refused_and_told_on() {
    #[derive(Default)]
    struct Asked(Mutex<Vec<String>>);
    impl MissingNames for Asked {
        fn asked(&self, name: &str) {
            self.0.lock().unwrap().push(name.to_owned());
        }
    }
    let authority = Authority::new("Root");
    let asked = Arc::new(Asked::default());
    let mut shared = shared(vec![served("a", &authority.issue(&["a.test", "*.a.test"]))]);
    shared.missing = Some(Arc::clone(&asked) as Arc<dyn MissingNames>);
    let server = Server::start(&plan(), shared.clone(), Manner::Echo);
    for name in ["b.test", "x.y.a.test"] {
        let refused = openssl(&server, &["-servername", name], "Q\n");
        assert!(refused.contains("unrecognized name"), "{refused}");
        assert_eq!(server.fault(), HandshakeFault::UnknownName);
    }
    openssl(&server, &["-noservername"], "Q\n");
    assert_eq!(server.fault(), HandshakeFault::UnknownName);
    assert_eq!(*asked.0.lock().unwrap(), ["b.test", "x.y.a.test"]);
    openssl(&server, &["-servername", "x.a.test"], "Q\n");
    assert_eq!(server.facts().server_name.as_deref(), Some("x.a.test"));
    server.ended().1.unwrap();
    // What has ended is shown, and told on too: nobody else may be about to renew it.
    let over = authority.request(&["over.test"]).valid(2000, 2020).issue();
    shared.store.put(served("over", &over));
    openssl(&server, &["-servername", "over.test"], "Q\n");
    assert_eq!(server.facts().server_name.as_deref(), Some("over.test"));
    assert_eq!(asked.0.lock().unwrap().last().unwrap(), "over.test");
    assert_eq!(asked.0.lock().unwrap().len(), 3);

    let lenient = AcceptorPlan {
        default_certificate: Some("a".to_owned()),
        ..plan()
    };
    let server = Server::start(&lenient, shared, Manner::Echo);
    openssl(&server, &["-servername", "b.test"], "Q\n");
    assert_eq!(server.facts().server_name.as_deref(), Some("b.test"));
}

#[test]
fn who_names_nobody_gets_the_certificate_of_the_address() {
    let authority = Authority::new("Root");
    let scratch = Scratch::new();
    let ca = file(&scratch, "ca.pem", &authority.pem());
    let server = Server::usual(&authority, Manner::Http);
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--http1.1",
        "--cacert",
        &ca,
        &format!("https://{}/", server.address),
    ]);
    assert_eq!(finish(curl, ""), "hello");
    assert_eq!(server.facts().server_name, None);
}

#[test]
fn a_modern_listener_takes_tls_1_3_alone() {
    let authority = Authority::new("Root");
    let shared = shared(vec![served("a", &authority.issue(&["localhost"]))]);
    let modern = AcceptorPlan {
        profile: Profile::Modern,
        ..plan()
    };
    let server = Server::start(&modern, shared, Manner::Echo);
    let refused = openssl(&server, &["-servername", "localhost", "-tls1_2"], "Q\n");
    assert!(refused.contains("protocol version"), "{refused}");
    assert_eq!(server.fault(), HandshakeFault::ProtocolVersion);
    openssl(&server, &["-servername", "localhost"], "Q\n");
    assert_eq!(server.facts().version, TlsVersion::Tls13);
}

#[test]
fn clients_of_versions_that_nobody_speaks_any_more_are_told_so() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    for version in ["-tls1", "-tls1_1"] {
        let weak = [
            "-servername",
            "localhost",
            version,
            "-cipher",
            "ALL:@SECLEVEL=0",
        ];
        let refused = openssl(&server, &weak, "Q\n");
        assert!(refused.contains("protocol version"), "{version}: {refused}");
        assert_eq!(server.fault(), HandshakeFault::ProtocolVersion, "{version}");
    }
}

#[test]
fn no_shared_cipher_is_named() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Echo);
    let arguments = [
        "-servername",
        "localhost",
        "-tls1_2",
        "-cipher",
        "AES128-SHA",
    ];
    openssl(&server, &arguments, "Q\n");
    assert_eq!(server.fault(), HandshakeFault::NoSharedCipher);
}

#[test]
fn a_client_that_does_not_trust_us_is_counted_as_such() {
    let authority = Authority::new("Root");
    let server = Server::usual(&authority, Manner::Http);
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--tls-max",
        "1.2",
        &format!("https://{}/", server.address),
    ]);
    let refused = finish(curl, "");
    assert!(refused.contains("certificate"), "{refused}");
    assert_eq!(server.fault(), HandshakeFault::ClientRefused);
}

/// A server that asks for certificates under two of its three names, and those who come.
struct Doors {
    server: Server,
    good: Issued,
    revoked: Issued,
    scratch: Scratch,
}

impl Doors {
    fn new() -> Doors {
        let authority = Authority::new("Root");
        let clients = Authority::new("Clients");
        let good = clients.issue_client("Good, Client");
        let revoked = clients.issue_client("bad");
        let door = |name: &str, required: bool| NamePlan {
            name: name.to_owned(),
            certificates: None,
            client: Some(ClientAuthPlan {
                required,
                ca_pem: clients.pem().into_bytes(),
                crls: vec![foregate_tls::RevocationList {
                    name: "clients.crl".to_owned(),
                    bytes: clients.revocations(&[&revoked]).into_bytes(),
                }],
            }),
        };
        let plan = AcceptorPlan {
            names: vec![door("inner.test", true), door("maybe.test", false)],
            ..plan()
        };
        let issued = authority.issue(&["open.test", "inner.test", "maybe.test"]);
        Doors {
            server: Server::start(&plan, shared(vec![served("all", &issued)]), Manner::Echo),
            good,
            revoked,
            scratch: Scratch::new(),
        }
    }

    fn connect(&self, name: &str, version: &str, certificate: Option<&Issued>) {
        let mut arguments = vec!["-servername", name, version, "-quiet", "-no_ign_eof"];
        let files = certificate.map(|issued| {
            let certificate = file(&self.scratch, "client.pem", &issued.certificate_pem);
            (
                certificate,
                file(&self.scratch, "client.key", &issued.key_pem),
            )
        });
        if let Some((certificate, key)) = &files {
            arguments.extend(["-cert", certificate, "-key", key]);
        }
        openssl(&self.server, &arguments, "hello\n");
    }

    #[track_caller]
    fn lets_in(&self, name: &str, version: &str, certificate: Option<&Issued>) -> Box<TlsFacts> {
        self.connect(name, version, certificate);
        let facts = self.server.facts();
        self.server.ended().1.unwrap();
        facts
    }

    #[track_caller]
    fn refuses(&self, version: &str, certificate: Option<&Issued>, fault: HandshakeFault) {
        self.connect("inner.test", version, certificate);
        assert_eq!(self.server.fault(), fault, "{version}");
    }
}

#[test]
fn clients_are_let_in_by_certificate() {
    let doors = Doors::new();
    let good = &doors.good;
    let stranger = Authority::new("Strangers").issue_client("stranger");
    for version in ["-tls1_3", "-tls1_2"] {
        let inner = doors.lets_in("inner.test", version, Some(good));
        let client = inner.client.unwrap();
        assert_eq!(&*client.subject, "CN=Good\\, Client");
        let loaded = certificate::load(good.chain_pem.as_bytes(), good.key_pem.as_bytes());
        assert_eq!(client.fingerprint, loaded.unwrap().fingerprint);
        assert_ne!(inner.trust, 0);

        doors.refuses(version, None, HandshakeFault::ClientCertificateMissing);
        doors.refuses(
            version,
            Some(&doors.revoked),
            HandshakeFault::ClientCertificateRevoked,
        );
        doors.refuses(
            version,
            Some(&stranger),
            HandshakeFault::ClientCertificateUnknown,
        );

        let maybe = doors.lets_in("maybe.test", version, None);
        assert!(maybe.client.is_none() && maybe.trust != 0 && maybe.trust != inner.trust);
        let open = doors.lets_in("open.test", version, Some(good));
        assert!(open.client.is_none() && open.trust == 0);
    }
}

#[test]
fn a_revocation_list_that_is_over_lets_nobody_in_that_it_speaks_for() {
    let authority = Authority::new("Root");
    let clients = Authority::new("Clients");
    let list = |until: i32| foregate_tls::RevocationList {
        name: format!("until-{until}.crl"),
        bytes: clients.revocations_until(&[], until).into_bytes(),
    };
    const NOW: i64 = 1_780_000_000;
    assert_eq!(list(2090).judge(NOW), None);
    let over = list(2021).judge(NOW).unwrap();
    assert_eq!(over.name(), "revocations-over");
    assert!(over.to_string().contains("2021-01-01"), "{over}");
    let door = |name: &str, until: i32| NamePlan {
        name: name.to_owned(),
        certificates: None,
        client: Some(ClientAuthPlan {
            required: true,
            ca_pem: clients.pem().into_bytes(),
            crls: vec![list(until)],
        }),
    };
    let plan = AcceptorPlan {
        names: vec![door("fresh.test", 2090), door("stale.test", 2021)],
        ..plan()
    };
    let issued = authority.issue(&["fresh.test", "stale.test"]);
    let doors = Doors {
        server: Server::start(&plan, shared(vec![served("all", &issued)]), Manner::Echo),
        good: clients.issue_client("good"),
        revoked: clients.issue_client("nobody"),
        scratch: Scratch::new(),
    };
    for version in ["-tls1_3", "-tls1_2"] {
        doors.lets_in("fresh.test", version, Some(&doors.good));
        doors.connect("stale.test", version, Some(&doors.good));
        assert_eq!(
            doors.server.fault(),
            HandshakeFault::ClientCertificateUnlisted,
            "{version}"
        );
    }
}

#[test]
fn a_challenge_is_answered_with_the_certificate_that_was_left_for_it() {
    struct One(Arc<CertifiedKey>);
    impl ChallengeSource for One {
        fn certificate_for(&self, name: &str) -> Option<Arc<CertifiedKey>> {
            (name == "new.test").then(|| Arc::clone(&self.0))
        }
    }
    let authority = Authority::new("Root");
    let answer = authority.issue(&["new.test"]);
    let loaded = certificate::load(answer.chain_pem.as_bytes(), answer.key_pem.as_bytes()).unwrap();
    let mut shared = shared(Vec::new());
    shared.challenges = Some(Arc::new(One(loaded.certified_key())));
    let server = Server::start(&plan(), shared, Manner::Echo);
    let arguments = ["-servername", "new.test", "-alpn", "acme-tls/1"];
    let seen = openssl(&server, &arguments, "Q\n");
    assert!(seen.contains("ALPN protocol: acme-tls/1"), "{seen}");
    assert!(
        seen.contains("CN = new.test") || seen.contains("CN=new.test"),
        "{seen}"
    );
    assert_eq!(server.fault(), HandshakeFault::ChallengeAnswered);
    let arguments = ["-servername", "other.test", "-alpn", "acme-tls/1"];
    openssl(&server, &arguments, "Q\n");
    assert_eq!(server.fault(), HandshakeFault::UnknownName);
}

#[test]
fn the_post_quantum_exchange_is_preferred() {
    use rustls::crypto::aws_lc_rs::default_provider;
    let provider = default_provider();
    assert_eq!(
        provider.kx_groups[0].name(),
        rustls::NamedGroup::X25519MLKEM768
    );
}
