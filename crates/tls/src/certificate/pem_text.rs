//! PEM texts as editors write them, and what is wrong with one, for people. Nothing of what stands in its blocks is told: it
//! may be a private key.

use rustls_pki_types::pem;
use std::borrow::Cow;

/// Longer labels are none.
const LABEL_BYTES_MAX: usize = 32;

/// What opens the line before a block.
const BEGIN: &[u8] = b"-----BEGIN ";

/// What is known of the line before a block.
struct Opening<'t> {
    label: Option<&'t str>,
    /// Whether more than the label stands in it: line breaks are lost.
    goes_on: bool,
}

impl Opening<'_> {
    /// `text` is what stands in the line behind `-----BEGIN `.
    fn of(text: &[u8]) -> Opening<'_> {
        // RFC 7468 §2; those that are in use have no other characters.
        let is_of_label = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b' ');
        let end = text.iter().position(|byte| !is_of_label(byte));
        let (label, rest) = text.split_at(end.unwrap_or(text.len()));
        // What goes on otherwise may be the block itself.
        let is_label = label.len() <= LABEL_BYTES_MAX && matches!(rest.first(), None | Some(b'-'));
        let label = std::str::from_utf8(label).ok().filter(|_| is_label);
        let is_frame = |byte: &u8| *byte == b'-' || byte.is_ascii_whitespace();
        Opening {
            label: label.map(str::trim).filter(|label| !label.is_empty()),
            goes_on: !is_label || !rest.iter().all(is_frame),
        }
    }

    fn block(&self) -> String {
        match self.label {
            Some(label) => format!("the PEM block `{label}`"),
            None => "a PEM block".to_owned(),
        }
    }

    fn lost_breaks(&self) -> String {
        format!(
            "{} has lost its line breaks, as happens in environment variables: `-----BEGIN …-----` and `-----END …-----` \
             must be lines of their own",
            self.block()
        )
    }
}

/// A PEM text without the byte order marks that some editors write before a text in UTF-8: a block behind one, also in the
/// middle of texts that were put together, would be overlooked.
pub(crate) fn without_marks(pem: &[u8]) -> Cow<'_, [u8]> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    // Most texts have nothing but ASCII in them.
    if !pem.contains(&MARK[0]) {
        return Cow::Borrowed(pem);
    }
    let mut text = Vec::with_capacity(pem.len());
    let mut rest = pem;
    while let Some((&byte, behind)) = rest.split_first() {
        match rest.strip_prefix(MARK) {
            Some(behind) => rest = behind,
            None => {
                text.push(byte);
                rest = behind;
            }
        }
    }
    Cow::Owned(text)
}

/// What is wrong with a PEM text. The library's own words show what stands in it.
pub(crate) fn pem_fault(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => match Opening::of(end_marker) {
            opening if opening.goes_on => opening.lost_breaks(),
            opening => format!("{} has no end; is the file cut off?", opening.block()),
        },
        pem::Error::IllegalSectionStart { line } => {
            match Opening::of(line.strip_prefix(BEGIN).unwrap_or(line)) {
                opening if opening.goes_on => opening.lost_breaks(),
                opening => format!(
                    "the line `-----BEGIN …` of {} does not end in `-----`",
                    opening.block()
                ),
            }
        }
        pem::Error::Base64Decode(_) => "a PEM block is no base64".to_owned(),
        pem::Error::SectionTooLarge => "a PEM block is too large".to_owned(),
        pem::Error::NoItemsFound => "there is no PEM block of this kind".to_owned(),
        // Those to come may show texts, too.
        _ => "it is no PEM".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, label: Option<&str>, goes_on: bool) {
        let opening = Opening::of(text.as_bytes());
        assert_eq!((opening.label, opening.goes_on), (label, goes_on), "{text}");
    }

    #[test]
    fn nothing_but_a_label_is_taken_for_one() {
        check("EC PRIVATE KEY", Some("EC PRIVATE KEY"), false);
        check("X509 CRL-----", Some("X509 CRL"), false);
        check("PRIVATE KEY---- ", Some("PRIVATE KEY"), false);
        check("PRIVATE KEY----- MIGHAgEA", Some("PRIVATE KEY"), true);
        check("PRIVATE KEY-----\\nMIGHAgEA", Some("PRIVATE KEY"), true);
        check("PRIVATE KEY MIGHAgEA", None, true);
        check("PRIVATE KEY MIGHAGEA+", None, true);
        check(&"A".repeat(LABEL_BYTES_MAX + 1), None, true);
        check("", None, false);
    }
}
