//! Configuration texts: whatever they hold, the answer is settings or diagnostics that point into the text.

use foregate_config::{Format, MemoryFiles, Severity, parse_str, render, to_json};

/// Configuration as TOML and as JSON.
pub fn config(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for format in [Format::Toml, Format::Json] {
        let outcome = parse_str("fuzz", text, format, &MemoryFiles::default());
        let errors = outcome
            .diagnostics
            .iter()
            .filter(|each| each.severity() == Severity::Error);
        assert_eq!(outcome.has_errors(), errors.count() > 0);
        assert!(outcome.has_errors() == outcome.settings.is_none());
        for diagnostic in &outcome.diagnostics {
            assert!(!diagnostic.message.is_empty());
            let place = outcome.sources.place(diagnostic.origin);
            assert!(place.line >= 1 && place.column >= 1 && place.end_line >= place.line);
        }
        let _ = to_json(&outcome);
        assert_eq!(
            render(&outcome, false).is_empty(),
            outcome.diagnostics.is_empty()
        );
        assert!(
            outcome == parse_str("fuzz", text, format, &MemoryFiles::default()),
            "two readings differ"
        );
    }
}
