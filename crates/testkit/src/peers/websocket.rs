//! A WebSocket of two honest peers, frame by frame (RFC 6455 §5).

use crate::backend::{Script, Visit};
use crate::client::RawClient;
use crate::connection::{Connection, Trouble};
use crate::transport::Target;

use super::backends::websocket_accept;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A backend that answers each frame with one of the same kind and payload, and a close with a close. It hangs up on frames
/// that are not masked as those of clients must be.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketPeer;

impl Script for WebSocketPeer {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        let Some(request) = visit.next_request()? else {
            return Ok(());
        };
        let accept = websocket_accept(request.field("sec-websocket-key").unwrap_or_default());
        visit.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ))?;
        while visit.connection.wait_readable()? {
            let Some((kind, payload)) = read(&mut visit.connection, true)? else {
                return Ok(());
            };
            visit.send(frame(kind, &payload, None))?;
            if kind == CLOSE {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// The client's side.
#[derive(Debug)]
pub struct WebSocketClient {
    connection: Connection,
    sent: u32,
}

impl WebSocketClient {
    /// Connects, and shakes hands over HTTP/1.1.
    ///
    /// # Errors
    /// What came instead of an acceptance.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn open(target: impl Into<Target>, path: &str) -> Result<WebSocketClient, String> {
        let mut client = RawClient::connect(target);
        client.send_if_taken(format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        ));
        let head = client
            .try_head(false)
            .map_err(|error| format!("{error:?}"))?;
        let accept = head.field("sec-websocket-accept");
        if head.status != 101 || accept != Some(websocket_accept(KEY).as_str()) {
            return Err(format!("{head:?}"));
        }
        Ok(WebSocketClient {
            connection: client.into_connection(),
            sent: 0,
        })
    }

    /// Sends a text and waits for it to come back.
    ///
    /// # Errors
    /// What came instead.
    pub fn echo(&mut self, text: &str) -> Result<(), String> {
        self.exchange(TEXT, text.as_bytes())
    }

    /// Ends it in order: a close, the other's close, and the end of the connection.
    ///
    /// # Errors
    /// What came instead.
    pub fn close(mut self) -> Result<(), String> {
        self.exchange(CLOSE, &1000_u16.to_be_bytes())?;
        match self.connection.take_rest() {
            Ok(rest) if rest.is_empty() => Ok(()),
            other => Err(format!("after its close: {other:?}")),
        }
    }

    fn exchange(&mut self, kind: u8, payload: &[u8]) -> Result<(), String> {
        self.sent += 1;
        let mask = self.sent.wrapping_mul(0x9e37_79b9).to_be_bytes();
        let sent = self.connection.send(frame(kind, payload, Some(mask)));
        sent.map_err(|trouble| format!("it is not taken: {trouble:?}"))?;
        match read(&mut self.connection, false) {
            Ok(Some((came, echo))) if came == kind && echo == payload => Ok(()),
            other => Err(format!("instead of what was sent: {other:?}")),
        }
    }
}

/// A whole message in one frame.
fn frame(kind: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { MASKED } else { 0 };
    let mut out = vec![FINAL | kind];
    match payload.len() {
        length @ 0..=125 => out.push(masked | length as u8),
        length => {
            out.push(masked | 126);
            let length = u16::try_from(length).expect("stories send little");
            out.extend(length.to_be_bytes());
        }
    }
    match mask {
        None => out.extend(payload),
        Some(mask) => {
            out.extend(mask);
            let key = mask.iter().cycle();
            out.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
        }
    }
    out
}

/// The kind and payload of the next frame; `None` when it is masked and should not be, or the other way round, or is not
/// a whole message.
fn read(connection: &mut Connection, masked: bool) -> Result<Option<(u8, Vec<u8>)>, Trouble> {
    let head = connection.take(2)?;
    if (head[1] & MASKED != 0) != masked || head[0] & FINAL == 0 {
        return Ok(None);
    }
    let length = match head[1] & !MASKED {
        126 => {
            let length = connection.take(2)?;
            usize::from(u16::from_be_bytes([length[0], length[1]]))
        }
        127 => return Ok(None),
        length => usize::from(length),
    };
    let mask = match masked {
        true => connection.take(4)?,
        false => vec![0],
    };
    let mut payload = connection.take(length)?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Some((head[0] & !FINAL, payload)))
}
