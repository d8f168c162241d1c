//! Likely inputs around TLS handshakes.

use crate::Dice;

/// A ClientHello in one or more records, now and then with something wrong in it.
pub(crate) fn client_hello(dice: &mut Dice) -> Vec<u8> {
    let mut extensions = Vec::new();
    for _ in 0..dice.below(5) {
        let (kind, body) = match dice.below(4) {
            0 => (0_u16, server_name(dice)),
            1 => (16, protocols(dice)),
            _ => (dice.below(60) as u16, vec![0; dice.below(40)]),
        };
        extensions.extend(kind.to_be_bytes());
        extensions.extend(long(&body));
    }
    let mut message = vec![3, 3];
    message.extend((0..32).map(|_| dice.roll() as u8));
    message.extend(short(&vec![7; dice.below(34)]));
    message.extend(long(&vec![0x13; 2 * dice.below(20)]));
    message.extend(short(&[0]));
    if !dice.one_in(10) {
        message.extend(long(&extensions));
    }
    let mut handshake = vec![1, 0];
    handshake.extend(long(&message));
    let mut records = Vec::new();
    let size = 1 + dice.below(handshake.len());
    for part in handshake.chunks(size) {
        records.extend([22, 3, dice.below(4) as u8]);
        records.extend(long(part));
    }
    if dice.one_in(4) {
        records.extend(b"\x14\x03\x03\x00\x01\x01");
    }
    records
}

fn server_name(dice: &mut Dice) -> Vec<u8> {
    let names = [
        "example.com",
        "WWW.Example.COM.",
        "127.0.0.1",
        "::1",
        "",
        "a b",
        "x",
    ];
    let mut entry = vec![u8::from(dice.one_in(10))];
    entry.extend(long(dice.pick(&names).as_bytes()));
    if dice.one_in(10) {
        entry.extend(entry.clone());
    }
    long(&entry)
}

fn protocols(dice: &mut Dice) -> Vec<u8> {
    let names = ["h2", "http/1.1", "acme-tls/1", ""];
    let list: Vec<u8> = (0..dice.below(4))
        .flat_map(|_| short(dice.pick(&names).as_bytes()))
        .collect();
    long(&list)
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// PEM blocks in any order, with DER that is made up.
pub(crate) fn pem(dice: &mut Dice) -> Vec<u8> {
    let kinds = [
        "CERTIFICATE",
        "PRIVATE KEY",
        "EC PRIVATE KEY",
        "X509 CRL",
        "ENCRYPTED PRIVATE KEY",
    ];
    let lines = [
        "MIIB",
        "MIIBkTCB+wIJAK",
        "AAAA",
        "====",
        "not base64",
        "MAMCAQA=",
    ];
    let mut text = String::new();
    for _ in 0..1 + dice.below(4) {
        let kind = dice.pick(&kinds);
        text.push_str(&format!("-----BEGIN {kind}-----\n"));
        for _ in 0..dice.below(4) {
            text.push_str(dice.pick(&lines));
            text.push('\n');
        }
        text.push_str(&format!("-----END {kind}-----\n"));
    }
    text.into_bytes()
}

/// OCSP responses whose elements have sound lengths and any tags.
pub(crate) fn ocsp(dice: &mut Dice) -> Vec<u8> {
    let mut of = |tag: u8, content: &[u8]| {
        let tag = match dice.one_in(40) {
            true => dice.roll() as u8,
            false => tag,
        };
        let length = content.len();
        let mut element = match length {
            0..=0x7f => vec![tag, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        element.extend(content);
        element
    };
    let time = of(0x18, b"20260101000000Z");
    let until = of(0xa0, &time);
    let (hash, serial) = (of(0x04, &[7; 20]), of(0x02, &[1]));
    // A hash that nobody knows, so that the number counts alone.
    let algorithm = of(0x06, &[0x2b, 0x0e]);
    let algorithm = of(0x30, &algorithm);
    let id = of(0x30, &[&*algorithm, &hash, &hash, &serial].concat());
    let good = of(0x80, &[]);
    let single = of(0x30, &[&*id, &good, &time, &until].concat());
    let by = of(0xa2, &hash);
    let list = of(0x30, &[&*single, &single].concat());
    let data = of(0x30, &[&*by, &time, &list].concat());
    let basic = of(0x30, &[&*data, &algorithm].concat());
    let kind = of(0x06, &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1]);
    let octets = of(0x04, &basic);
    let bytes = of(0x30, &[&*kind, &octets].concat());
    let (status, part) = (of(0x0a, &[0]), of(0xa0, &bytes));
    of(0x30, &[&*status, &part].concat())
}
