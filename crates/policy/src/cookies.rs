//! Cookies of a request (RFC 6265 §4.2, §5.4).

use foregate_message::{FieldId, Fields};

/// The value of the first cookie of this name.
#[must_use]
pub fn find<'a>(fields: &'a Fields, name: &[u8]) -> Option<&'a [u8]> {
    let lines = fields.all(FieldId::Cookie);
    let mut cookies = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    cookies.find_map(|cookie| cookie.trim_ascii().strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts() {
        let mut fields = Fields::new();
        fields.append(FieldId::Cookie, b"xa=0; a=1;b=2 ;  c=");
        fields.append(FieldId::Cookie, b"a=3; d=4");
        let check = |name: &str, value: Option<&str>| {
            assert_eq!(
                find(&fields, name.as_bytes()),
                value.map(str::as_bytes),
                "{name}"
            );
        };
        check("a", Some("1"));
        check("b", Some("2"));
        check("c", Some(""));
        check("d", Some("4"));
        check("x", None);
        check("A", None);
    }
}
