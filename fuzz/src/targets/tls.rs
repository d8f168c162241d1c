//! What is read before anything is encrypted, and certificates as files hold them.

use foregate_tls::certificate::{self, CHAIN_CERTIFICATES_MAX};
use foregate_tls::sni::{HELLO_BYTES_MAX, RECORDS_MAX, peek};

/// ClientHellos: one verdict at every cut, whatever records they come in, and one that is bounded.
pub fn client_hello(input: &[u8]) {
    let whole = peek(input);
    if input.len() > 2 * HELLO_BYTES_MAX {
        assert_ne!(whole, Ok(None), "a ClientHello is bounded");
    }
    for end in 0..input.len() {
        match peek(&input[..end]) {
            Ok(None) => {}
            found => {
                assert_eq!(found, whole, "at {end}");
                break;
            }
        }
    }
    let Ok(Some(hello)) = whole else {
        return;
    };
    if let Some(name) = &hello.server_name {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!((1..=253).contains(&name.len()));
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    }
    assert!(hello.protocols.iter().all(|protocol| !protocol.is_empty()));
    let (cut, records) = recut(input);
    if records <= RECORDS_MAX {
        assert_eq!(peek(&cut), Ok(Some(hello)), "in other records");
    }
}

/// The same messages with the first record cut in two, and how many records those are.
fn recut(input: &[u8]) -> (Vec<u8>, usize) {
    let (mut cut, mut records) = (Vec::new(), 0);
    let mut rest = input;
    while let Some(&[kind, major, minor, high, low]) = rest.get(..5) {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(body) = rest.get(5..5 + length) else {
            break;
        };
        let size = if cut.is_empty() {
            length.div_ceil(2)
        } else {
            length
        };
        for part in body.chunks(size.max(1)) {
            cut.extend([kind, major, minor]);
            cut.extend((part.len() as u16).to_be_bytes());
            cut.extend(part);
            records += 1;
        }
        rest = &rest[5 + length..];
    }
    (cut, records)
}

/// PEM texts: what is loaded is within its bounds, has a name for everything that is wrong with it, and can be judged at
/// any time.
pub fn certificate_pem(input: &[u8]) {
    match certificate::load(input, input) {
        Ok(loaded) => {
            assert!((1..=CHAIN_CERTIFICATES_MAX).contains(&loaded.chain().len()));
            assert!(
                loaded
                    .subject
                    .bytes()
                    .all(|byte| (b' '..=b'~').contains(&byte))
            );
            for now in [i64::MIN, 0, 1_800_000_000, i64::MAX] {
                for finding in loaded.judge(now, None) {
                    assert!(!finding.to_string().is_empty());
                }
            }
            for name in &loaded.names {
                let name = name.to_string();
                assert!(loaded.serves(&name.replace('*', "any")), "{name}");
            }
        }
        Err(finding) => {
            assert!(!finding.name().is_empty() && !finding.to_string().is_empty());
        }
    }
    if let Ok(chain) = certificate::read_chain(input) {
        assert!((1..=CHAIN_CERTIFICATES_MAX).contains(&chain.len()));
    }
}

/// OCSP responses: what is read of one is in it, counts from one time to another, and nothing may stand behind its end.
pub fn ocsp_response(input: &[u8]) {
    for serial in [&[1][..], &[0xf0, 0x0d], &[]] {
        let about = certificate::About {
            serial,
            issuer: b"",
        };
        match certificate::read_statement(input, about) {
            Ok(statement) => {
                let is_there = |window: &[u8]| window == serial;
                assert!(serial.is_empty() || input.windows(serial.len()).any(is_there));
                assert!(!statement.counts(i64::MAX) && !statement.counts(i64::MIN));
                let longer = [input, b"\0"].concat();
                assert!(certificate::read_statement(&longer, about).is_err());
            }
            Err(why) => assert!(!why.is_empty()),
        }
    }
}
