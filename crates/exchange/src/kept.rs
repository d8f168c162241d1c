//! What was taken of a request's body, kept so that it can be sent again.

use foregate_message::{Chunk, Fields, Frame};
use foregate_upstream::Call;

/// The beginning of a body, or all of it.
#[derive(Debug)]
pub(crate) struct Kept {
    bytes: Vec<u8>,
    bytes_max: usize,
    trailers: Option<Box<Fields>>,
    /// Its end was seen.
    whole: bool,
    /// It had more bytes than may be kept: what is here is not what was taken.
    lost: bool,
}

impl Kept {
    /// Nothing yet, of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Kept {
        Kept {
            bytes: Vec::new(),
            bytes_max,
            trailers: None,
            whole: false,
            lost: false,
        }
    }

    /// Whether all that was taken is here.
    pub(crate) fn is_good(&self) -> bool {
        !self.lost
    }

    /// Keeps a frame that is on its way.
    pub(crate) fn keep(&mut self, frame: &Frame) {
        match frame {
            _ if self.lost => {}
            Frame::Data(data) if data.len() <= self.bytes_max - self.bytes.len() => {
                self.bytes.extend_from_slice(data.as_slice());
            }
            Frame::Data(_) | Frame::Piped(_) => {
                self.lost = true;
                self.bytes = Vec::new();
            }
            Frame::Trailers(trailers) => {
                self.trailers = Some(trailers.clone());
                self.whole = true;
            }
            Frame::End => self.whole = true,
        }
    }

    /// Whether nothing has been taken yet.
    pub(crate) fn is_untouched(&self) -> bool {
        self.bytes.is_empty() && !self.whole && !self.lost
    }

    /// Whether all of the body was taken and is here.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole && !self.lost
    }

    /// Sends what is here; whether that was the whole body.
    pub(crate) fn send(&self, call: &mut Call) -> bool {
        if !self.bytes.is_empty() {
            call.send(Chunk::copy_of(&self.bytes));
        }
        if self.whole {
            call.end(self.trailers.as_deref());
        }
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_kept_and_what_does_not_is_let_go() {
        let mut kept = Kept::new(5);
        assert!(kept.is_untouched());
        kept.keep(&Frame::Data(Chunk::copy_of(b"abc")));
        assert!(!kept.is_untouched());
        kept.keep(&Frame::Data(Chunk::copy_of(b"de")));
        assert!(kept.is_good());
        assert_eq!(kept.bytes, b"abcde");
        kept.keep(&Frame::End);
        assert!(kept.is_whole() && kept.is_good());

        let mut kept = Kept::new(5);
        kept.keep(&Frame::Data(Chunk::copy_of(b"abc")));
        kept.keep(&Frame::Data(Chunk::copy_of(b"def")));
        assert!(!kept.is_good());
        kept.keep(&Frame::Data(Chunk::copy_of(b"g")));
        kept.keep(&Frame::End);
        assert!(!kept.is_good() && !kept.is_whole() && kept.bytes.is_empty());
    }
}
