//! The Host law (RFC 9112 §3.2, RFC 9110 §7.2).

use foregate_message::{Fault, FieldId, RequestHead, Target, TargetForm, Version, split_authority};

/// Checks the target and the Host of a request against each other.
///
/// # Errors
/// The rule that is broken.
#[inline]
pub(crate) fn check(head: &RequestHead) -> Result<(), Fault> {
    let target = Target::parse(&head.method, head.target())?;
    let mut hosts = head.fields.all(FieldId::Host);
    let Some(host) = hosts.next() else {
        // HTTP/1.0 knew no Host.
        return if head.version == Version::Http10 {
            Ok(())
        } else {
            Err(Fault::HostMissing)
        };
    };
    if hosts.next().is_some() {
        return Err(Fault::HostSeveral);
    }
    let host = split_authority(host).ok_or(Fault::Host)?;
    match target.authority {
        None => Ok(()),
        Some(authority) => agree(host, authority, default_port(&target, head.target())),
    }
}

/// Takes the host out of an absolute target where no Host names it, which HTTP/1.0 did not know: it is the target's that
/// counts (RFC 9112 §3.2.2), for the route as for the backend.
#[inline]
pub fn name_host(head: &mut RequestHead) {
    if head.version == Version::Http10 && !head.fields.has(FieldId::Host) {
        take_host(head);
    }
}

#[cold]
fn take_host(head: &mut RequestHead) {
    let authority = Target::parse(&head.method, head.target())
        .ok()
        .filter(|target| target.form == TargetForm::Absolute)
        .and_then(|target| target.authority)
        .filter(|authority| split_authority(authority).is_some())
        .map(<[u8]>::to_vec);
    if let Some(authority) = authority {
        head.fields.append(FieldId::Host, &authority);
    }
}

/// The target's authority is what counts, and a recipient that looks at Host instead must see the same.
#[cold]
pub(crate) fn agree(
    (name, port): (&[u8], Option<u16>),
    authority: &[u8],
    default_port: Option<u16>,
) -> Result<(), Fault> {
    let (wanted, wanted_port) = split_authority(authority).ok_or(Fault::Target)?;
    // CONNECT always names its port and has no default one: a Host without port agrees.
    let default_port = default_port.or(wanted_port);
    if wanted.eq_ignore_ascii_case(name) && wanted_port.or(default_port) == port.or(default_port) {
        Ok(())
    } else {
        Err(Fault::HostMismatch)
    }
}

fn default_port(target: &Target<'_>, raw: &[u8]) -> Option<u16> {
    match (target.form, raw.get(4)) {
        (TargetForm::Absolute, Some(b's' | b'S')) => Some(443),
        (TargetForm::Absolute, _) => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absolute_target_names_the_host_that_http10_did_not_know() {
        for (target, version, host, expected) in [
            (
                "http://one.example/x",
                Version::Http10,
                None,
                Some("one.example"),
            ),
            (
                "http://one.example:81",
                Version::Http10,
                None,
                Some("one.example:81"),
            ),
            ("/x", Version::Http10, None, None),
            (
                "http://one.example/x",
                Version::Http10,
                Some("one.example"),
                Some("one.example"),
            ),
            ("http://one.example/x", Version::Http11, None, None),
        ] {
            let mut head = RequestHead::with("GET", target.as_bytes());
            head.version = version;
            if let Some(host) = host {
                head.fields.append(FieldId::Host, host.as_bytes());
            }
            name_host(&mut head);
            let found: Vec<&[u8]> = head.fields.all(FieldId::Host).collect();
            let expected: Vec<&[u8]> = expected.iter().map(|host| host.as_bytes()).collect();
            assert_eq!(found, expected, "{target}");
        }
    }
}
