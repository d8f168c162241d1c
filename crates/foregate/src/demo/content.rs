//! Bodies of the sample backends.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// Bytes of one piece of a download.
const PIECE_BYTES: usize = 64 * 1024;

/// What a download consists of.
static PIECE: [u8; PIECE_BYTES] = {
    let line = *b"Foregate demo: nothing but filler.\n";
    let mut piece = [0; PIECE_BYTES];
    let mut at = 0;
    while at < PIECE_BYTES {
        piece[at] = line[at % line.len()];
        at += 1;
    }
    piece
};

/// A body that is known in advance.
#[derive(Debug)]
pub(super) enum Content {
    /// A text.
    Text(Bytes),
    /// So many bytes more of filler.
    Filler(u64),
}

impl Content {
    fn bytes_left(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Filler(left) => *left,
        }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Self::Text(text) => std::mem::take(text),
            Self::Filler(left) => {
                let length = usize::try_from(*left)
                    .unwrap_or(PIECE_BYTES)
                    .min(PIECE_BYTES);
                *left -= length as u64;
                Bytes::from_static(&PIECE[..length])
            }
        };
        Poll::Ready((!piece.is_empty()).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes_left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes_left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut content: Content, bytes: u64, pieces: usize) {
        assert_eq!(content.size_hint().exact(), Some(bytes));
        let mut sizes = Vec::new();
        let mut context = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut content).poll_frame(&mut context) {
            sizes.push(frame.into_data().unwrap().len() as u64);
        }
        assert_eq!((sizes.iter().sum(), sizes.len()), (bytes, pieces));
        assert!(content.is_end_stream());
    }

    #[test]
    fn a_body_is_as_long_as_it_says() {
        check(Content::Text("abc".into()), 3, 1);
        check(Content::Text("".into()), 0, 0);
        check(Content::Filler(0), 0, 0);
        check(Content::Filler(200_000), 200_000, 4);
    }
}
