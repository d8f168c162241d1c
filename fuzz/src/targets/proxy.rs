//! PROXY protocol headers: one verdict at every cut, and what is read can be written and read again.

use foregate_wire::proxy::{self, ProxyHeader, V1_BYTES_MAX, V2_REST_BYTES_MAX};

/// PROXY protocol headers of both versions.
pub fn proxy_header(input: &[u8]) {
    let whole = proxy::parse(input);
    let bound = V1_BYTES_MAX.max(16 + V2_REST_BYTES_MAX);
    if input.len() >= bound {
        assert_ne!(whole, Ok(None), "a header is bounded");
    }
    for end in 0..input.len().min(bound) {
        match proxy::parse(&input[..end]) {
            Ok(None) => {}
            found => {
                assert_eq!(found, whole, "at {end}");
                break;
            }
        }
    }
    let Ok(Some((
        used,
        ProxyHeader::Addresses {
            source,
            destination,
        },
    ))) = whole
    else {
        return;
    };
    assert!(used <= input.len());
    for write in [proxy::write_v1, proxy::write_v2] {
        let mut out = Vec::new();
        write(source, destination, &mut out);
        let header = ProxyHeader::Addresses {
            source,
            destination,
        };
        assert_eq!(proxy::parse(&out), Ok(Some((out.len(), header))));
    }
}
