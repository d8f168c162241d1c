//! Version 2: sixteen fixed bytes, addresses, and typed values behind them.

use super::{BadHeader, ProxyHeader, V2_REST_BYTES_MAX, one_family};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED_BYTES: usize = 16;

/// The type of the value that holds a checksum over the whole header.
const CRC32C: u8 = 0x03;

pub(super) fn parse(input: &[u8]) -> Result<Option<(usize, ProxyHeader)>, BadHeader> {
    let known = input.len().min(SIGNATURE.len());
    if input[..known] != SIGNATURE[..known] {
        return Err(BadHeader);
    }
    let Some(&[version_and_command, family, high, low]) = input.get(12..FIXED_BYTES) else {
        return Ok(None);
    };
    let rest_bytes = usize::from(u16::from_be_bytes([high, low]));
    let local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return Err(BadHeader),
    };
    if rest_bytes > V2_REST_BYTES_MAX {
        return Err(BadHeader);
    }
    let end = FIXED_BYTES + rest_bytes;
    let Some(whole) = input.get(..end) else {
        return Ok(None);
    };
    let header = header(whole, family, local).ok_or(BadHeader)?;
    Ok(Some((end, header)))
}

fn header(whole: &[u8], family: u8, local: bool) -> Option<ProxyHeader> {
    // A local connection's addresses say nothing, and without a family there are none to read.
    if local {
        return Some(ProxyHeader::Local);
    }
    let address_bytes = match family {
        0x00 => return Some(ProxyHeader::Unknown),
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return None,
    };
    let (addresses, _) = whole[FIXED_BYTES..].split_at_checked(address_bytes)?;
    check_values(whole, FIXED_BYTES + address_bytes)?;
    let (source, destination) = match family {
        0x11 => (v4(addresses, 0, 8)?, v4(addresses, 4, 10)?),
        0x21 => (v6(addresses, 0, 32)?, v6(addresses, 16, 34)?),
        // Datagrams and local sockets: nothing that an HTTP client has an address in.
        _ => return Some(ProxyHeader::Unknown),
    };
    Some(ProxyHeader::Addresses {
        source,
        destination,
    })
}

fn v4(addresses: &[u8], address_at: usize, port_at: usize) -> Option<SocketAddr> {
    let octets: [u8; 4] = addresses.get(address_at..address_at + 4)?.try_into().ok()?;
    let port = addresses.get(port_at..port_at + 2)?.try_into().ok()?;
    Some((Ipv4Addr::from(octets), u16::from_be_bytes(port)).into())
}

fn v6(addresses: &[u8], address_at: usize, port_at: usize) -> Option<SocketAddr> {
    let octets: [u8; 16] = addresses
        .get(address_at..address_at + 16)?
        .try_into()
        .ok()?;
    let port = addresses.get(port_at..port_at + 2)?.try_into().ok()?;
    Some((Ipv6Addr::from(octets), u16::from_be_bytes(port)).into())
}

/// Typed values fill the rest exactly; there is one checksum among them at most, and it is right.
fn check_values(whole: &[u8], from: usize) -> Option<()> {
    let mut at = from;
    let mut summed = false;
    while at < whole.len() {
        let &[kind, high, low] = whole.get(at..at + 3)? else {
            return None;
        };
        let value_at = at + 3;
        at = value_at + usize::from(u16::from_be_bytes([high, low]));
        let value = whole.get(value_at..at)?;
        if kind == CRC32C {
            if std::mem::replace(&mut summed, true) {
                return None;
            }
            let stated = u32::from_be_bytes(value.try_into().ok()?);
            // The checksum is taken with its own four bytes as zeros.
            let bytes = whole.iter().enumerate().map(|(place, &byte)| {
                if (value_at..at).contains(&place) {
                    0
                } else {
                    byte
                }
            });
            if crc32c(bytes) != stated {
                return None;
            }
        }
    }
    Some(())
}

/// CRC-32C (Castagnoli), bit by bit: headers are small and checksums in them rare.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

/// Appends a header of version 2 for a connection from `source` to `destination`.
pub fn write_v2(source: SocketAddr, destination: SocketAddr, out: &mut Vec<u8>) {
    let (source, destination) = one_family(source, destination);
    out.extend_from_slice(SIGNATURE);
    match (source, destination) {
        (SocketAddr::V4(source), SocketAddr::V4(destination)) => {
            out.extend_from_slice(&[0x21, 0x11, 0, 12]);
            out.extend_from_slice(&source.ip().octets());
            out.extend_from_slice(&destination.ip().octets());
        }
        _ => {
            out.extend_from_slice(&[0x21, 0x21, 0, 36]);
            out.extend_from_slice(&super::mapped(source).octets());
            out.extend_from_slice(&super::mapped(destination).octets());
        }
    }
    out.extend_from_slice(&source.port().to_be_bytes());
    out.extend_from_slice(&destination.port().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
    }
}
