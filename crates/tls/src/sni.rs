//! What a client says before anything is encrypted: the name it asks for and the protocols it offers. Pure; reads a
//! ClientHello wherever it is cut into records and segments, and takes nothing away, so that the bytes can be handed to
//! a handshake or passed through.

use std::net::IpAddr;

/// How long a ClientHello may be. Those of browsers have some 2,000 bytes.
pub const HELLO_BYTES_MAX: usize = 64 * 1024;

/// How many records a ClientHello may be cut into.
pub const RECORDS_MAX: usize = 64;

const RECORD_HANDSHAKE: u8 = 22;
const MESSAGE_CLIENT_HELLO: u8 = 1;
const VERSION_TLS_1_2: u16 = 0x0303;
const EXTENSION_SERVER_NAME: u16 = 0;
const EXTENSION_PROTOCOLS: u16 = 16;

/// What a ClientHello says to everybody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientHello {
    /// The host that is asked for (RFC 6066 §3), in lower case. An address is no name.
    pub server_name: Option<String>,
    /// The application protocols on offer (RFC 7301), the preferred one first.
    pub protocols: Vec<Vec<u8>>,
    /// Whether TLS 1.1 is the newest version that the client speaks: newer clients all say that they speak 1.2, and the rest
    /// in an extension (RFC 8446 §4.1.2).
    pub is_outdated: bool,
}

impl ClientHello {
    /// Whether it wants nothing but to see the answer to an ACME challenge (RFC 8737).
    pub fn is_acme_challenge(&self) -> bool {
        matches!(self.protocols.as_slice(), [only] if only == b"acme-tls/1")
    }
}

/// Why bytes are no ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotHello {
    /// They are a cleartext HTTP request.
    Http,
    /// They are something else than TLS.
    Foreign,
    /// They begin as a ClientHello and break its rules.
    Malformed,
    /// It does not end within [`HELLO_BYTES_MAX`].
    TooLong,
}

/// Reads the ClientHello at the front of `bytes`; `None` while it is not whole.
///
/// # Errors
/// It is none.
pub fn peek(bytes: &[u8]) -> Result<Option<ClientHello>, NotHello> {
    let mut joined = Vec::new();
    let mut rest = bytes;
    for number in 0..RECORDS_MAX {
        let Some((fragment, behind)) = fragment(rest, number == 0)? else {
            return if bytes.len() > HELLO_BYTES_MAX {
                Err(NotHello::TooLong)
            } else {
                Ok(None)
            };
        };
        rest = behind;
        // Nearly all come in one record and are read where they are.
        if joined.is_empty()
            && let Some(message) = message(fragment)?
        {
            return hello(message).map(Some).ok_or(NotHello::Malformed);
        }
        joined.extend_from_slice(fragment);
        if let Some(message) = message(&joined)? {
            return hello(message).map(Some).ok_or(NotHello::Malformed);
        }
    }
    Err(NotHello::TooLong)
}

/// A record's content, and the bytes behind the record.
type Fragment<'a> = (&'a [u8], &'a [u8]);

/// What the first record carries, and what comes behind it; `None` while it is not whole.
fn fragment(bytes: &[u8], first: bool) -> Result<Option<Fragment<'_>>, NotHello> {
    let kind = match bytes.first() {
        None => return Ok(None),
        Some(kind) => *kind,
    };
    if kind != RECORD_HANDSHAKE {
        return match bytes.get(..3) {
            _ if !first => Err(NotHello::Malformed),
            Some(start) if start.iter().all(u8::is_ascii_uppercase) => Err(NotHello::Http),
            None if kind.is_ascii_uppercase() => Ok(None),
            _ => Err(NotHello::Foreign),
        };
    }
    if bytes.get(1).is_some_and(|major| *major != 3) {
        return Err(NotHello::Foreign);
    }
    let Some(&[_, _, _, high, low]) = bytes.get(..5) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > 16 * 1024 {
        return Err(NotHello::Malformed);
    }
    Ok(bytes[5..].split_at_checked(length))
}

/// The body of the message at the front, if it is whole.
fn message(bytes: &[u8]) -> Result<Option<&[u8]>, NotHello> {
    if bytes
        .first()
        .is_some_and(|kind| *kind != MESSAGE_CLIENT_HELLO)
    {
        return Err(NotHello::Malformed);
    }
    let Some(&[_, a, b, c]) = bytes.get(..4) else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    if length > HELLO_BYTES_MAX {
        return Err(NotHello::TooLong);
    }
    Ok(bytes.get(4..4 + length))
}

/// RFC 8446 §4.1.2.
fn hello(message: &[u8]) -> Option<ClientHello> {
    let mut reader = Reader(message);
    let version = reader.number()?;
    reader.take(32)?;
    let session = reader.short()?;
    let suites = reader.long()?;
    let compressions = reader.short()?;
    if session.len() > 32 || suites.is_empty() || compressions.is_empty() {
        return None;
    }
    let mut hello = ClientHello {
        is_outdated: version < VERSION_TLS_1_2,
        ..ClientHello::default()
    };
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(reader.long()?);
    if !reader.0.is_empty() {
        return None;
    }
    let (mut named, mut offered) = (false, false);
    while !extensions.0.is_empty() {
        let kind = extensions.number()?;
        let body = extensions.long()?;
        match kind {
            EXTENSION_SERVER_NAME => {
                // Each extension comes once (RFC 8446 §4.2).
                if std::mem::replace(&mut named, true) {
                    return None;
                }
                hello.server_name = server_name(body)?;
            }
            EXTENSION_PROTOCOLS => {
                if std::mem::replace(&mut offered, true) {
                    return None;
                }
                hello.protocols = protocols(body)?;
            }
            _ => {}
        }
    }
    Some(hello)
}

fn server_name(body: &[u8]) -> Option<Option<String>> {
    let mut reader = Reader(body);
    let mut names = Reader(reader.long()?);
    if !reader.0.is_empty() || names.0.is_empty() {
        return None;
    }
    let kind = names.take(1)?[0];
    let name = names.long()?;
    // One name of the one type that there is (RFC 6066 §3).
    if kind != 0 || !names.0.is_empty() || name.is_empty() || name.len() > 253 {
        return None;
    }
    let plausible = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':'));
    let name = std::str::from_utf8(name).ok().filter(|_| plausible)?;
    if name.parse::<IpAddr>().is_ok() || name.contains(':') {
        return Some(None);
    }
    Some(Some(name.to_ascii_lowercase()))
}

fn protocols(body: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(body);
    let mut list = Reader(reader.long()?);
    if !reader.0.is_empty() || list.0.is_empty() {
        return None;
    }
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let protocol = list.short()?;
        if protocol.is_empty() {
            return None;
        }
        protocols.push(protocol.to_vec());
    }
    Some(protocols)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// What one byte gives the length of.
    fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    /// What two bytes give the length of.
    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
mod tests;
