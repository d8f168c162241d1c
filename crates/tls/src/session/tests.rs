use super::*;
use crate::certificate::load;
use crate::handshake::{Handshake, Party, Progress};
use crate::profile::provider;
use foregate_testkit::Authority;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;

/// Both ends of a connection whose handshake is done: the client, then the server.
fn pair(version: &'static SupportedProtocolVersion) -> (Session, Session) {
    let (client, server) = begun(version);
    finish(client, server)
}

/// Both ends of a connection whose handshake has not begun.
fn begun(
    version: &'static SupportedProtocolVersion,
) -> (
    Handshake<UnbufferedClientConnection>,
    Handshake<UnbufferedServerConnection>,
) {
    let authority = Authority::new("Root");
    let issued = authority.issue(&["a.test"]);
    let loaded = load(issued.chain_pem.as_bytes(), issued.key_pem.as_bytes()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(loaded.certified_key())));
    server.enable_secret_extraction = true;
    server.send_tls13_tickets = 0;
    let mut roots = RootCertStore::empty();
    let root = rustls_pki_types::CertificateDer::from_pem_slice(authority.pem().as_bytes());
    roots.add(root.unwrap()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    let name = ServerName::try_from("a.test").unwrap();
    let client = UnbufferedClientConnection::new(Arc::new(client), name).unwrap();
    let server = UnbufferedServerConnection::new(Arc::new(server)).unwrap();
    (
        Handshake::new(client, Vec::new()),
        Handshake::new(server, Vec::new()),
    )
}

fn finish<C: Party, S: Party>(
    mut client: Handshake<C>,
    mut server: Handshake<S>,
) -> (Session, Session) {
    loop {
        let ours = client.advance().unwrap();
        server.received(&std::mem::take(&mut client.flow.outgoing));
        let theirs = server.advance().unwrap();
        client.received(&std::mem::take(&mut server.flow.outgoing));
        if (ours, theirs) == (Progress::Done, Progress::Done) {
            break;
        }
    }
    (
        client.into_session().unwrap(),
        server.into_session().unwrap(),
    )
}

/// Moves what one end has sealed to the other.
fn carry(from: &mut Session, to: &mut Session) {
    while !from.to_send().is_empty() {
        let bytes = from.to_send().to_vec();
        from.sent(bytes.len());
        if !to.input.is_lent() {
            to.input = Chunk::lend_large();
        }
        to.input.compact();
        to.input.room()[..bytes.len()].copy_from_slice(&bytes);
        to.input.filled(bytes.len());
    }
}

fn say(from: &mut Session, to: &mut Session, what: &[u8]) -> io::Result<Vec<u8>> {
    assert_eq!(from.write(&[IoSlice::new(what)]).unwrap(), what.len());
    carry(from, to);
    hear(to)
}

fn hear(session: &mut Session) -> io::Result<Vec<u8>> {
    let mut heard = vec![0; 1000];
    let bytes = session.read(&mut heard)?;
    heard.truncate(bytes);
    Ok(heard)
}

/// What a session says about a message that its peer should not have sent; afterwards it says nothing more.
#[track_caller]
fn refuses(content: Content, message: &[u8], expected: &str) {
    let (mut client, mut server) = pair(&TLS13);
    client.seal_to_tail(content, message).unwrap();
    carry(&mut client, &mut server);
    let error = hear(&mut server).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}");
    assert!(server.write(&[IoSlice::new(b"more")]).is_err());
    assert!(hear(&mut server).is_err());
}

#[test]
fn both_versions_carry_bytes_both_ways() {
    for version in [&TLS13, &TLS12] {
        let (mut client, mut server) = pair(version);
        for _ in 0..3 {
            assert_eq!(
                say(&mut client, &mut server, b"question").unwrap(),
                b"question"
            );
            assert_eq!(say(&mut server, &mut client, b"answer").unwrap(), b"answer");
        }
    }
}

#[test]
fn keys_are_changed_when_they_are_worn_and_asked_for() {
    let (mut client, mut server) = pair(&TLS13);
    client.records_max = 3;
    for _ in 0..20 {
        assert_eq!(
            say(&mut client, &mut server, b"question").unwrap(),
            b"question"
        );
        assert!(client.sealer.sequence() <= 3);
    }
    // However often it is asked for, one change answers.
    for _ in 0..5 {
        client
            .seal_to_tail(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, 1])
            .unwrap();
        let secrets = match &mut client.secrets {
            Secrets::Client(kernel) => kernel.update_tx_secret().unwrap(),
            _ => panic!("TLS 1.3 has secrets"),
        };
        client.sealer = RecordKey::new(&secrets.1, secrets.0, true).unwrap();
    }
    carry(&mut client, &mut server);
    assert_eq!(hear(&mut server).unwrap(), b"");
    assert!(server.owes_key_update && server.to_send().is_empty());
    assert_eq!(say(&mut server, &mut client, b"answer").unwrap(), b"answer");
    assert_eq!(client.opener.sequence(), 1);
}

#[test]
fn keys_that_can_not_be_changed_end_with_the_connection() {
    let (mut client, _) = pair(&TLS12);
    client.records_max = 0;
    assert!(client.write(&[IoSlice::new(b"too much")]).is_err());
}

#[test]
fn key_updates_without_anything_between_are_bounded() {
    let (mut client, mut server) = pair(&TLS13);
    for _ in 0..KEY_UPDATES_MAX {
        client.change_key().unwrap();
    }
    assert_eq!(
        say(&mut client, &mut server, b"something").unwrap(),
        b"something"
    );
    for _ in 0..=KEY_UPDATES_MAX {
        client.change_key().unwrap();
    }
    carry(&mut client, &mut server);
    assert!(
        hear(&mut server)
            .unwrap_err()
            .to_string()
            .contains("key updates")
    );
}

#[test]
fn empty_records_are_bounded() {
    for version in [&TLS13, &TLS12] {
        let (mut client, mut server) = pair(version);
        for _ in 0..EMPTY_RECORDS_MAX {
            client.seal_to_tail(Content::Data, b"").unwrap();
        }
        assert_eq!(
            say(&mut client, &mut server, b"something").unwrap(),
            b"something"
        );
        for _ in 0..=EMPTY_RECORDS_MAX {
            client.seal_to_tail(Content::Data, b"").unwrap();
        }
        carry(&mut client, &mut server);
        assert!(hear(&mut server).unwrap_err().to_string().contains("empty"));
    }
}

#[test]
fn messages_that_must_not_come_are_refused() {
    refuses(
        Content::Handshake,
        &[NEW_SESSION_TICKET, 0, 0, 1, 7],
        "session ticket",
    );
    refuses(Content::Handshake, &[1, 0, 0, 1, 7], "must not come");
    refuses(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, 2], "unknown");
    refuses(Content::Handshake, &[], "empty piece");
    refuses(
        Content::Handshake,
        &[KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE, 0, 0, 1, 0],
        "must not come",
    );
    refuses(Content::Handshake, &[KEY_UPDATE, 0xff, 0, 0], "too long");
    refuses(Content::Alert, &[2, 40], "alert 40");
    refuses(Content::Alert, &[1], "malformed");
}

#[test]
fn a_key_update_that_asks_for_something_unknown_is_named_in_the_alert() {
    let (mut client, mut server) = pair(&TLS13);
    client
        .seal_to_tail(Content::Handshake, &[KEY_UPDATE, 0, 0, 1, 2])
        .unwrap();
    carry(&mut client, &mut server);
    assert!(hear(&mut server).is_err());
    carry(&mut server, &mut client);
    let error = hear(&mut client).unwrap_err();
    assert!(error.to_string().contains("alert 47"), "{error}");
}

#[test]
fn a_message_in_pieces_is_put_together_and_nothing_comes_between() {
    let (mut client, mut server) = pair(&TLS13);
    client
        .seal_to_tail(Content::Handshake, &[KEY_UPDATE, 0])
        .unwrap();
    client.seal_to_tail(Content::Handshake, &[0, 1, 0]).unwrap();
    carry(&mut client, &mut server);
    let before = server.opener.sequence();
    assert_eq!(hear(&mut server).unwrap(), b"");
    assert!(server.opener.sequence() == 0 && before == 0);
    let (mut client, mut server) = pair(&TLS13);
    client
        .seal_to_tail(Content::Handshake, &[KEY_UPDATE, 0])
        .unwrap();
    client.seal_to_tail(Content::Data, b"between").unwrap();
    carry(&mut client, &mut server);
    assert!(
        hear(&mut server)
            .unwrap_err()
            .to_string()
            .contains("data inside")
    );
}

#[test]
fn what_comes_behind_the_end_is_ignored() {
    let (mut client, mut server) = pair(&TLS13);
    client
        .seal_to_tail(Content::Alert, &[1, ALERT_USER_CANCELED])
        .unwrap();
    client.close();
    carry(&mut client, &mut server);
    server.input.room()[..5].copy_from_slice(b"noise");
    server.input.filled(5);
    assert_eq!(hear(&mut server).unwrap(), b"");
    assert!(server.peer_closed());
    assert_eq!(
        say(&mut server, &mut client, b"the rest").unwrap(),
        b"the rest"
    );
}

#[test]
fn a_forged_record_ends_the_connection_with_an_alert() {
    let (mut client, mut server) = pair(&TLS13);
    client.seal_to_tail(Content::Data, b"something").unwrap();
    let last = client.tail.len() - 1;
    client.tail[last] ^= 1;
    carry(&mut client, &mut server);
    assert!(hear(&mut server).is_err());
    carry(&mut server, &mut client);
    let error = hear(&mut client).unwrap_err();
    assert!(error.to_string().contains("alert 20"), "{error}");
}

#[test]
fn a_record_that_is_too_long_for_a_handshake_is_answered_with_an_alert() {
    const ALERT: u8 = 21;
    let (mut client, mut server) = begun(&TLS12);
    client.advance().unwrap();
    server.received(&std::mem::take(&mut client.flow.outgoing));
    server.advance().unwrap();
    server.flow.outgoing.clear();
    server.received(&[22, 3, 3, 0xff, 0xff, 1, 2, 3]);
    server.advance().unwrap_err();
    assert_eq!(server.flow.outgoing.first(), Some(&ALERT));
}
