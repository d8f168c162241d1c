//! DNS answers: anything is parsed or refused, in bounds; nothing passes for signed without the key.

use foregate_acme::dns::message::{Answer, CNAME, NS, SharedKey};

/// Answers of name servers.
pub fn dns_answer(input: &[u8]) {
    let key = SharedKey::parse("key.example", "hmac-sha256", "c2VjcmV0");
    let key = key.expect("the key is well formed");
    assert!(!key.verifies(input, b"mac", 0), "nobody has signed this");
    let Ok(answer) = Answer::parse(input) else {
        return;
    };
    for record in &answer.records {
        assert!(record.data.end <= input.len());
        assert!(record.name.len() <= 255 && record.name.ends_with(&[0]));
    }
    let texts: usize = answer.texts(input).iter().map(Vec::len).sum();
    assert!(texts <= input.len());
    for target in [NS, CNAME]
        .into_iter()
        .flat_map(|kind| answer.targets(input, kind))
    {
        assert!(target.len() <= 255);
    }
    // A message that is cut in its records says less, and never something else.
    for end in 0..input.len() {
        if let Ok(cut) = Answer::parse(&input[..end]) {
            assert_eq!(cut, answer);
        }
    }
}
