//! What configuration and policies both know: `config` tells it with its place, `policy` must not depend on that.

use super::*;
use foregate_message::FieldId;
use foregate_policy::header_rules::{HeaderRules, RulesSpec};

fn is_taken(text: &str) -> bool {
    parse_str("foregate.toml", text, Format::Toml, &MemoryFiles::default())
        .settings
        .is_some()
}

#[test]
fn the_same_fields_are_the_gateways_own() {
    let mut own = 0;
    for id in FieldId::ALL {
        let text = format!(
            "[[sites.a.routes]]\nrespond = {{ status = 200 }}\nresponse_headers = {{ remove = ['{}'] }}\n",
            id.as_str()
        );
        let rules = RulesSpec {
            remove: vec![id.as_str().into()],
            ..RulesSpec::default()
        };
        let is_writable = HeaderRules::compile(rules).is_ok();
        assert_eq!(is_taken(&text), is_writable, "{}", id.as_str());
        own += usize::from(!is_writable);
    }
    assert!((1..FieldId::ALL.len()).contains(&own));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Whatever passes as the target of a redirect is one.
    #[test]
    fn every_target_that_is_taken_compiles(
        start in prop::sample::select(vec!["/", "//", "http://", "https://", "{scheme}://", ""]),
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "{scheme}", "{host}", "{path}", "{query}", "a", "a.example", "[::1]", ":", "8443", "70000", "/", "//", "?", "#",
                "@", ".", "-", "%", "%2f", "{{", "}}", "\\\\", "é", " ", "*",
            ]),
            0..5,
        ),
    ) {
        let text = format!("[[sites.a.routes]]\nredirect = {{ to = \"{start}{}\" }}\n", pieces.concat());
        let outcome = parse_str("foregate.toml", &text, Format::Toml, &MemoryFiles::default());
        if let Some(settings) = &outcome.settings {
            let compiled = compile(settings);
            prop_assert!(compiled.is_ok(), "{text} {:?}", compiled.err());
        }
    }
}
