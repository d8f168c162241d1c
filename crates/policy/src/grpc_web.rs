//! gRPC-Web: what browsers can say of gRPC, in gRPC's terms and back.
//!
//! A gRPC-Web message is gRPC's but for two things: trailers come as a last frame of the body, marked by the high bit
//! of its first byte, and the `-text` form is Base64 from end to end (the protocol's own document, `PROTOCOL-WEB.md`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foregate_message::{Fault, FieldId, Fields};

const GRPC: &[u8] = b"application/grpc";
const WEB: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"-text";

/// The first byte of the frame that carries trailers.
const TRAILERS: u8 = 0x80;

/// A frame's head: a byte of flags and the length of what follows.
const FRAME_HEAD_BYTES: usize = 5;

/// Four letters of Base64 are three bytes.
const LETTERS: usize = 4;
const BYTES: usize = 3;

/// Which form of gRPC-Web a request speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The frames as they are.
    Binary,
    /// The frames as Base64.
    Text,
}

impl Form {
    /// The form that a request's content type names; `None` when that is not gRPC-Web.
    pub fn of(fields: &Fields) -> Option<Form> {
        let rest = after(fields.get(FieldId::ContentType)?, WEB)?;
        let (form, rest) = match after(rest, TEXT) {
            Some(rest) => (Form::Text, rest),
            None => (Form::Binary, rest),
        };
        ends(rest).then_some(form)
    }

    /// Turns a gRPC-Web request's fields into those of gRPC over HTTP/2.
    pub fn request(self, fields: &mut Fields) {
        retype(fields, self.prefix(), &[GRPC]);
        fields.set(FieldId::Te, b"trailers");
        if self == Form::Text {
            fields.remove(FieldId::ContentLength);
        }
    }

    /// Turns a gRPC answer's fields into those of gRPC-Web; nothing if it is no gRPC answer, which then is to be passed on
    /// as it is. True when the body must be turned as well.
    pub fn response(self, fields: &mut Fields) -> bool {
        let own = fields
            .get(FieldId::ContentType)
            .and_then(|value| after(value, GRPC));
        if !own.is_some_and(ends) {
            return false;
        }
        retype(fields, GRPC.to_vec(), &[&self.prefix()]);
        fields.remove(FieldId::ContentLength);
        fields.remove(FieldId::Trailer);
        true
    }

    fn prefix(self) -> Vec<u8> {
        match self {
            Form::Binary => WEB.to_vec(),
            Form::Text => [WEB, TEXT].concat(),
        }
    }
}

/// What stands behind a prefix, whatever its case.
fn after<'a>(value: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Whether a media type may end here: what follows names the messages' format or a parameter.
fn ends(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// Puts another prefix in front of what the content type has behind its own.
fn retype(fields: &mut Fields, old: Vec<u8>, new: &[&[u8]]) {
    let rest = fields
        .get(FieldId::ContentType)
        .and_then(|value| after(value, &old));
    let rest = rest.unwrap_or_default().to_vec();
    fields.set(FieldId::ContentType, &[&new.concat()[..], &rest].concat());
}

/// A request's body on its way from gRPC-Web to gRPC.
#[derive(Debug)]
pub struct RequestBody {
    form: Form,
    /// Letters that don't make up a group yet.
    held: [u8; LETTERS],
    count: usize,
}

impl RequestBody {
    /// One of which nothing has come.
    pub fn new(form: Form) -> RequestBody {
        RequestBody {
            form,
            held: [0; LETTERS],
            count: 0,
        }
    }

    /// Whether pieces go on as they are.
    pub fn is_plain(&self) -> bool {
        self.form == Form::Binary
    }

    /// Appends what a piece decodes to. Groups are decoded one by one, as clients may pad each message by itself.
    ///
    /// # Errors
    /// [`Fault::Encoding`] when it isn't Base64.
    pub fn decode(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut rest = piece;
        while self.count > 0 && !rest.is_empty() {
            self.held[self.count] = rest[0];
            self.count += 1;
            rest = &rest[1..];
            if self.count == LETTERS {
                self.count = 0;
                groups(&self.held, out)?;
            }
        }
        let whole = rest.len() / LETTERS * LETTERS;
        groups(&rest[..whole], out)?;
        for &letter in &rest[whole..] {
            self.held[self.count] = letter;
            self.count += 1;
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    /// [`Fault::Encoding`] when it broke off within a group.
    pub fn end(&self) -> Result<(), Fault> {
        if self.count == 0 {
            Ok(())
        } else {
            Err(Fault::Encoding)
        }
    }
}

/// Decodes whole groups; a padded one may be followed by others.
fn groups(letters: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = letters;
    while !rest.is_empty() {
        let padded = rest.iter().position(|&letter| letter == b'=');
        // Up to and with the group that the padding ends.
        let end = padded.map_or(rest.len(), |at| at / LETTERS * LETTERS + LETTERS);
        let (now, later) = rest.split_at(end.min(rest.len()));
        STANDARD.decode_vec(now, out).map_err(|_| Fault::Encoding)?;
        rest = later;
    }
    Ok(())
}

/// Where in its messages a body is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    /// What has come of a frame's head.
    head: [u8; FRAME_HEAD_BYTES],
    head_bytes: usize,
    /// How much of a message is still to come.
    left: usize,
}

impl Messages {
    /// A piece of the body has come.
    pub fn follow(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.left > 0 {
                let bytes = self.left.min(rest.len());
                self.left -= bytes;
                rest = &rest[bytes..];
                continue;
            }
            let bytes = rest.len().min(FRAME_HEAD_BYTES - self.head_bytes);
            let (begin, behind) = rest.split_at(bytes);
            self.head[self.head_bytes..][..bytes].copy_from_slice(begin);
            self.head_bytes += bytes;
            rest = behind;
            if self.head_bytes == FRAME_HEAD_BYTES {
                let [_, length @ ..] = self.head;
                self.left = u32::from_be_bytes(length) as usize;
                self.head_bytes = 0;
            }
        }
    }

    /// Whether the messages that have come are whole, so that another frame may follow.
    pub fn are_whole(&self) -> bool {
        self.left == 0 && self.head_bytes == 0
    }
}

/// An answer's body on its way from gRPC to gRPC-Web.
#[derive(Clone, Copy, Debug)]
pub struct ResponseBody(Form);

impl ResponseBody {
    /// One in this form.
    pub fn new(form: Form) -> ResponseBody {
        ResponseBody(form)
    }

    /// Whether pieces go on as they are.
    pub fn is_plain(self) -> bool {
        self.0 == Form::Binary
    }

    /// Appends what a piece encodes to. Each is padded by itself: a reader then has every byte of it, and no message waits
    /// for the one after it.
    pub fn encode(self, piece: &[u8], out: &mut Vec<u8>) {
        if self.is_plain() {
            return out.extend_from_slice(piece);
        }
        let start = out.len();
        out.resize(start + piece.len().div_ceil(BYTES) * LETTERS, 0);
        let written = STANDARD.encode_slice(piece, &mut out[start..]);
        debug_assert_eq!(
            written,
            Ok(out.len() - start),
            "the room is exactly that of the letters"
        );
    }

    /// The frame that carries the trailers; empty when there are none.
    pub fn trailers(self, trailers: &Fields) -> Vec<u8> {
        let mut frame = vec![TRAILERS, 0, 0, 0, 0];
        for line in trailers.iter() {
            frame.extend(line.name.iter().map(u8::to_ascii_lowercase));
            frame.extend_from_slice(b": ");
            frame.extend_from_slice(line.value);
            frame.extend_from_slice(b"\r\n");
        }
        let length = u32::try_from(frame.len() - FRAME_HEAD_BYTES).unwrap_or(u32::MAX);
        if length == 0 {
            return Vec::new();
        }
        frame[1..FRAME_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        let mut out = Vec::with_capacity(frame.len() * LETTERS / BYTES + LETTERS);
        self.encode(&frame, &mut out);
        out
    }
}

#[cfg(test)]
mod tests;
