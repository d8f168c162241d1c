//! Texts with placeholders, compiled to pieces.

/// A piece of a template; `P` names what may stand in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece<P> {
    /// Text that stands for itself.
    Text(String),
    /// Something of the request.
    Of(P),
}

/// A compiled text with placeholders.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Template<P> {
    pieces: Box<[Piece<P>]>,
}

impl<P: Copy> Template<P> {
    /// Takes the pieces in order.
    pub fn new(pieces: Vec<Piece<P>>) -> Template<P> {
        Template {
            pieces: pieces.into(),
        }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece<P>] {
        &self.pieces
    }

    /// The text when there is no placeholder, so that nothing has to be put together.
    #[inline]
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text to `out`; `fill` appends what a placeholder stands for.
    pub(crate) fn expand(&self, out: &mut Vec<u8>, mut fill: impl FnMut(P, &mut Vec<u8>)) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Of(what) => fill(*what, out),
            }
        }
    }

    /// Whether any literal has a control character.
    pub(crate) fn has_control(&self) -> bool {
        self.pieces.iter().any(|piece| match piece {
            Piece::Text(text) => text.bytes().any(is_control),
            Piece::Of(_) => false,
        })
    }
}

/// Bytes that no field value may have (RFC 9110 §5.5): CR, LF, NUL and the other control characters but the tab.
#[inline]
pub(crate) const fn is_control(byte: u8) -> bool {
    byte < b' ' && byte != b'\t' || byte == 0x7f
}
