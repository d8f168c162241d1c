//! Targets and paths: what is taken apart adds up, and normal forms are normal.

use foregate_message::path::{Normal, PathPolicy, Treatment, normalize};
use foregate_message::{Method, Target, TargetForm, split_authority};

const TREATMENTS: [Treatment; 3] = [Treatment::Reject, Treatment::Normalize, Treatment::Keep];

/// Request targets, and the paths in them under every policy.
pub fn target(input: &[u8]) {
    for method in [Method::Get, Method::Options, Method::Connect] {
        let Ok(target) = Target::parse(&method, input) else {
            continue;
        };
        assert!(input.iter().all(|byte| byte.is_ascii_graphic()));
        let query = target.query.map_or(0, |query| query.len() + 1);
        match target.form {
            TargetForm::Origin => assert_eq!(target.path.len() + query, input.len()),
            TargetForm::Absolute => {
                let authority = target.authority.expect("an absolute form has an authority");
                assert!(split_authority(authority).is_some());
            }
            TargetForm::Authority => {
                assert_eq!((target.authority, target.path), (Some(input), &b""[..]))
            }
            TargetForm::Asterisk => assert_eq!(input, b"*"),
        }
        if target.path.is_empty() {
            continue;
        }
        assert_eq!(target.path[0], b'/');
        assert!(!target.path.contains(&b'?'));
        for encoded_slash in TREATMENTS {
            for rest in TREATMENTS {
                for parameters in TREATMENTS {
                    normal(
                        target.path,
                        &PathPolicy {
                            encoded_slash,
                            backslash: rest,
                            duplicate_slashes: rest,
                            dot_segments: Treatment::Normalize,
                            parameters,
                        },
                    );
                }
            }
        }
    }
}

fn normal(path: &[u8], policy: &PathPolicy) {
    let mut once = Vec::new();
    let Ok(change) = normalize(path, policy, &mut once) else {
        return;
    };
    if change == Normal::Verbatim {
        once = path.to_vec();
    }
    assert_eq!(once.first(), Some(&b'/'));
    let is_dot = |segment: &[u8]| segment == b"." || segment == b"..";
    assert!(
        !once.split(|&byte| byte == b'/').any(is_dot),
        "a dot segment is left"
    );
    assert!(!once.contains(&0) && !once.windows(3).any(|three| three == b"%00"));
    if policy.backslash != Treatment::Keep {
        assert!(!once.contains(&b'\\'));
    }
    if policy.duplicate_slashes != Treatment::Keep {
        assert!(!once.windows(2).any(|pair| pair == b"//"));
    }
    if policy.parameters != Treatment::Keep {
        assert!(!once.contains(&b';'));
    }
    if policy.encoded_slash != Treatment::Keep {
        assert!(
            !once
                .to_ascii_lowercase()
                .windows(3)
                .any(|three| three == b"%2f")
        );
    }
    let mut twice = Vec::new();
    assert_eq!(
        normalize(&once, policy, &mut twice),
        Ok(Normal::Verbatim),
        "a normal form changes"
    );
}
