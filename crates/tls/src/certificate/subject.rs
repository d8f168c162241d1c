//! Distinguished names as text (RFC 4514).

use std::fmt::Write;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// A name as RFC 4514 writes it: the most specific part first, `,` between parts. Nothing but visible ASCII and spaces.
pub(crate) fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        let mut separator = if text.is_empty() { "" } else { "," };
        for attribute in part.iter() {
            text.push_str(separator);
            write_attribute(attribute, &mut text);
            separator = "+";
        }
    }
    text
}

fn write_attribute(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let kind = attribute.attr_type();
    match oid2abbrev(kind, oid_registry()) {
        Ok(short) => text.push_str(short),
        Err(_) => text.push_str(&kind.to_id_string()),
    }
    text.push('=');
    match attribute.as_str() {
        Ok(value) => write_value(value, text),
        // A value that is no string is written as the digits of its encoding (RFC 4514 §2.4).
        Err(_) => {
            text.push('#');
            write_hex(attribute.as_slice(), "", text);
        }
    }
}

fn write_value(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (at, character) in value.char_indices() {
        let edge = character == ' ' && (at == 0 || at == last);
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => {
                text.push('\\');
                text.push(character);
            }
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if edge => text.push_str("\\ "),
            ' '..='~' => text.push(character),
            _ => write_hex(character.encode_utf8(&mut [0; 4]).as_bytes(), "\\", text),
        }
    }
}

fn write_hex(bytes: &[u8], before: &str, text: &mut String) {
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(text, "{before}{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &str) {
        let mut text = String::new();
        write_value(value, &mut text);
        assert_eq!(text, expected);
    }

    #[test]
    fn values_are_escaped() {
        check("plain name", "plain name");
        check(" a, b=c ", "\\ a\\, b\\=c\\ ");
        check("#1", "\\#1");
        check("line\r\nX-Admin: 1", "line\\0d\\0aX-Admin: 1");
        check("ü", "\\c3\\bc");
    }
}
