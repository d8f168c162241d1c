use super::*;
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::sync::Arc;

/// What rustls sends to a server of this name.
fn client_hello(name: &str, protocols: &[&[u8]]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Cuts the one record of a hello into several.
fn recut(hello: &[u8], size: usize) -> Vec<u8> {
    let mut cut = Vec::new();
    for part in hello[5..].chunks(size) {
        cut.extend([22, 3, 1]);
        cut.extend((part.len() as u16).to_be_bytes());
        cut.extend(part);
    }
    cut
}

#[test]
fn the_name_and_the_protocols_are_read() {
    let hello = peek(&client_hello("WWW.Example.com", &[b"h2", b"http/1.1"]))
        .unwrap()
        .unwrap();
    assert_eq!(hello.server_name.as_deref(), Some("www.example.com"));
    assert_eq!(hello.protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert!(!hello.is_acme_challenge());
    let challenge = peek(&client_hello("example.com", &[b"acme-tls/1"]))
        .unwrap()
        .unwrap();
    assert!(challenge.is_acme_challenge());
}

#[test]
fn an_address_is_no_name() {
    let hello = peek(&client_hello("127.0.0.1", &[])).unwrap().unwrap();
    assert_eq!(hello, ClientHello::default());
}

#[test]
fn wherever_it_is_cut_it_is_the_same() {
    let whole = client_hello("example.com", &[b"h2"]);
    let expected = peek(&whole).unwrap();
    for size in [30, 50, 100, 700, 5000] {
        let cut = recut(&whole, size);
        assert_eq!(peek(&cut).unwrap(), expected, "records of {size} bytes");
        for end in 0..cut.len() {
            assert_eq!(
                peek(&cut[..end]),
                Ok(None),
                "{end} bytes, records of {size}"
            );
        }
    }
}

#[test]
fn what_is_no_hello_is_told_apart() {
    assert_eq!(peek(b"GET / HTTP/1.1\r\n"), Err(NotHello::Http));
    assert_eq!(peek(b"PRI * HTTP/2.0\r\n"), Err(NotHello::Http));
    assert_eq!(peek(b"GE"), Ok(None));
    assert_eq!(peek(b"SSH-2.0"), Err(NotHello::Http));
    assert_eq!(peek(b"\x80\x2e\x01\x03"), Err(NotHello::Foreign));
    assert_eq!(peek(b"\x16\x02"), Err(NotHello::Foreign));
    assert_eq!(peek(b"\x16\x03\x01\x00\x00"), Err(NotHello::Malformed));
    assert_eq!(
        peek(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"),
        Err(NotHello::Malformed)
    );
    assert_eq!(
        peek(b"\x16\x03\x01\x00\x04\x01\xff\x00\x00"),
        Err(NotHello::TooLong)
    );
}

#[test]
fn a_hello_in_countless_records_is_given_up() {
    let cut = recut(&client_hello("example.com", &[]), 1);
    assert_eq!(peek(&cut), Err(NotHello::TooLong));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = peek(&bytes);
        let mut framed = vec![22, 3, 1];
        framed.extend((bytes.len() as u16 + 4).to_be_bytes());
        framed.extend([1, 0]);
        framed.extend((bytes.len() as u16).to_be_bytes());
        framed.extend(&bytes);
        let _ = peek(&framed);
    }

    #[test]
    fn a_changed_hello_is_read_as_rustls_reads_it_or_refused(at in 0..300_usize, byte: u8) {
        let mut bytes = client_hello("example.com", &[b"h2"]);
        let at = at.min(bytes.len() - 1);
        bytes[at] = byte;
        let mut acceptor = rustls::server::Acceptor::default();
        let _ = acceptor.read_tls(&mut bytes.as_slice());
        if let Ok(Some(accepted)) = acceptor.accept() {
            let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
            match peek(&bytes) {
                Ok(Some(peeked)) => prop_assert_eq!(peeked.server_name, name),
                other => prop_assert_eq!(other, Err(NotHello::Malformed)),
            }
        }
    }
}
