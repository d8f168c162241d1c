//! The access log's plan.

use crate::plan::{AccessLogPlan, LogTarget};
use foregate_config::settings::{self, AccessLog, LogField, LogFormat, Piece, Template};

pub(crate) fn compile(log: &AccessLog) -> AccessLogPlan {
    AccessLogPlan {
        to: match &log.to {
            settings::LogTarget::Stdout => LogTarget::Stdout,
            settings::LogTarget::File(file) => LogTarget::File(file.path.clone()),
        },
        format: match &log.format {
            LogFormat::Combined => "combined".into(),
            LogFormat::Json => "json".into(),
            LogFormat::Template(template) => text(template).into(),
        },
        queue_bytes_max: usize::try_from(log.queue_bytes_max).unwrap_or(usize::MAX),
    }
}

/// The template with its literal braces doubled, so that no reader can take them for placeholders.
fn text(template: &Template<LogField>) -> String {
    let mut text = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Literal(literal) => {
                text.push_str(&literal.replace('{', "{{").replace('}', "}}"))
            }
            Piece::Placeholder(field) => {
                text.push('{');
                text.push_str(field.name());
                text.push('}');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_braces_are_doubled() {
        let template = Template {
            text: String::new(),
            pieces: vec![
                Piece::Literal("{\"c\":".into()),
                Piece::Placeholder(LogField::Client),
                Piece::Literal("}".into()),
                Piece::Placeholder(LogField::TimeIso),
            ],
        };
        assert_eq!(text(&template), "{{\"c\":{client}}}{time_iso}");
    }
}
