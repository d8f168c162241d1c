//! Version 1: one line of text.

use super::{BadHeader, ProxyHeader, V1_BYTES_MAX, one_family};
use std::net::{IpAddr, SocketAddr};

const START: &[u8] = b"PROXY ";

pub(super) fn parse(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, BadHeader> {
    let known = input.len().min(START.len());
    if input[..known] != START[..known] {
        return Err(BadHeader);
    }
    let window = &input[..input.len().min(V1_BYTES_MAX)];
    let Some(end) = window
        .iter()
        .position(|&byte| !(b' '..=b'~').contains(&byte))
    else {
        return if window.len() == V1_BYTES_MAX {
            Err(BadHeader)
        } else {
            Ok(None)
        };
    };
    match &window[end..] {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if end + 1 < V1_BYTES_MAX => return Ok(None),
        _ => return Err(BadHeader),
    }
    let line = std::str::from_utf8(&window[..end]).map_err(|_| BadHeader)?;
    let header = header(line).ok_or(BadHeader)?;
    Ok(Some((end + 2, header)))
}

fn header(line: &str) -> Option<ProxyHeader> {
    let mut words = line.split(' ').skip(1);
    let family = words.next()?;
    if family == "UNKNOWN" {
        // Whatever else the line says is to be ignored.
        return Some(ProxyHeader::Unknown);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    Some(ProxyHeader::Addresses {
        source: SocketAddr::new(address(family, source)?, port(source_port)?),
        destination: SocketAddr::new(address(family, destination)?, port(destination_port)?),
    })
}

fn address(family: &str, text: &str) -> Option<IpAddr> {
    match family {
        "TCP4" => Some(IpAddr::V4(text.parse().ok()?)),
        "TCP6" => Some(IpAddr::V6(text.parse().ok()?)),
        _ => None,
    }
}

fn port(text: &str) -> Option<u16> {
    let plain = text == "0" || !text.starts_with('0');
    if !plain || text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Appends a header of version 1 for a connection from `source` to `destination`.
pub fn write_v1(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = one_family(source, destination);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let line = format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    );
    out.extend_from_slice(line.as_bytes());
}
