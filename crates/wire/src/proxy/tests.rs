use super::*;
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn addresses(source: &str, destination: &str) -> ProxyHeader {
    ProxyHeader::Addresses {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

/// The verdict over `input`, which must be the same however it comes.
fn parsed(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, BadHeader> {
    for end in 0..=input.len() {
        let found = parse(&input[..end]);
        if found != Ok(None) {
            assert_eq!(parse(input), found, "{} by byte", input.escape_ascii());
            return found;
        }
    }
    Ok(None)
}

#[track_caller]
fn check_v1(line: &str, expected: Option<ProxyHeader>) {
    let expected = match expected {
        Some(header) => Ok(Some((line.len(), header))),
        None => Err(BadHeader),
    };
    let input = line.to_owned() + "GET / HTTP/1.1\r\n";
    assert_eq!(parsed(input.as_bytes()), expected, "{line:?}");
}

fn v2(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([version_and_command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[track_caller]
fn check_v2(input: &[u8], expected: Option<ProxyHeader>) {
    let expected = match expected {
        Some(header) => Ok(Some((input.len(), header))),
        None => Err(BadHeader),
    };
    let with_more = [input, b"GET /"].concat();
    assert_eq!(parsed(&with_more), expected, "{}", input.escape_ascii());
}

#[test]
fn version_1() {
    let four = addresses("1.2.3.4:5", "6.7.8.9:80");
    check_v1("PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\n", Some(four));
    let six = addresses("[::1]:65535", "[2001:db8::2]:0");
    check_v1("PROXY TCP6 ::1 2001:db8::2 65535 0\r\n", Some(six));
    check_v1("PROXY UNKNOWN\r\n", Some(ProxyHeader::Unknown));
    check_v1("PROXY UNKNOWN ::1 whatever\r\n", Some(ProxyHeader::Unknown));
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    check_v1(&longest, Some(ProxyHeader::Unknown));
    for bad in [
        "PROXY \r\n",
        "PROXY\r\n",
        "proxy TCP4 1.2.3.4 6.7.8.9 5 80\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\r\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 80 \r\n",
        "PROXY  TCP4 1.2.3.4 6.7.8.9 5 80\r\n",
        "PROXY TCP4  1.2.3.4 6.7.8.9 5 80\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 65536\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 05 80\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 +5 80\r\n",
        "PROXY TCP4 1.2.3.04 6.7.8.9 5 80\r\n",
        "PROXY TCP4 1.2.3 6.7.8.9 5 80\r\n",
        "PROXY TCP4 ::1 ::2 5 80\r\n",
        "PROXY TCP6 1.2.3.4 6.7.8.9 5 80\r\n",
        "PROXY TCP5 1.2.3.4 6.7.8.9 5 80\r\n",
        "PROXY TCP4 1.2.3.4 6.7.8.9 5 80\0\r\n",
        &format!("PROXY UNKNOWN {}\r\n", "f".repeat(92)),
        &"PROXY UNKNOWN ".repeat(20),
    ] {
        check_v1(bad, None);
    }
    assert_eq!(parse(b"GET / HTTP/1.1\r\n"), Err(BadHeader));
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn version_2() {
    let four = [1, 2, 3, 4, 6, 7, 8, 9, 0, 5, 0, 80];
    let expected = addresses("1.2.3.4:5", "6.7.8.9:80");
    check_v2(&v2(0x21, 0x11, &four), Some(expected));
    let with_values = [&four[..], &[0x04, 0, 3, 0, 0, 0, 0xea, 0, 0]].concat();
    check_v2(&v2(0x21, 0x11, &with_values), Some(expected));
    check_v2(&v2(0x20, 0x11, &four), Some(ProxyHeader::Local));
    check_v2(&v2(0x20, 0x00, &[]), Some(ProxyHeader::Local));
    check_v2(&v2(0x20, 0x77, &[1]), Some(ProxyHeader::Local));
    check_v2(&v2(0x21, 0x00, &[1, 2]), Some(ProxyHeader::Unknown));
    check_v2(&v2(0x21, 0x31, &[0; 216]), Some(ProxyHeader::Unknown));
    check_v2(&v2(0x21, 0x12, &four), Some(ProxyHeader::Unknown));
    for (command, family, rest) in [
        (0x11, 0x11, &four[..]),
        (0x31, 0x11, &four),
        (0x22, 0x11, &four),
        (0x21, 0x13, &four),
        (0x21, 0x41, &four),
        (0x21, 0x11, &four[..11]),
        (0x21, 0x21, &four),
        (0x21, 0x11, &[&four[..], &[4]].concat()),
        (0x21, 0x11, &[&four[..], &[4, 0, 1]].concat()),
        (0x21, 0x11, &[&four[..], &[3, 0, 4, 1, 2, 3, 4]].concat()),
        (0x21, 0x11, &[&four[..], &[3, 0, 3, 1, 2, 3]].concat()),
        (0x21, 0x00, &[0; V2_REST_BYTES_MAX + 1]),
    ] {
        check_v2(&v2(command, family, rest), None);
    }
    assert_eq!(parsed(&SIGNATURE[..8]), Ok(None));
    assert_eq!(parsed(b"\r\n\r\n\0\r\nQUIX\n"), Err(BadHeader));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(source: SocketAddr, destination: SocketAddr) {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip(), address.port());
        let (source, destination) = one_family(plain(source), plain(destination));
        let expected = ProxyHeader::Addresses { source, destination };
        for write in [write_v1, write_v2] {
            let mut out = Vec::new();
            write(source, destination, &mut out);
            prop_assert!(out[0] != b'P' || out.len() <= V1_BYTES_MAX);
            prop_assert_eq!(parsed(&out), Ok(Some((out.len(), expected))));
        }
    }

    #[test]
    fn any_bytes_have_one_verdict(tail in proptest::collection::vec(any::<u8>(), 0..80), text: bool) {
        let start = if text { &b"PROXY "[..] } else { SIGNATURE };
        let _ = parsed(&[start, &tail].concat());
    }
}
