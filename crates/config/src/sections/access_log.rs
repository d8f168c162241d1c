//! `[access_log]`

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::Fields;
use crate::files::Files;
use crate::keys::{Default, Kind, SIZE_32, Section, Syntax, key, syntax};
use crate::settings::{AccessLog, LogFormat, LogTarget, NamedFile};
use crate::words;
use std::path::Path;

static TARGET_FILE: Syntax = syntax("file path", "/var/log/foregate/access.log", "[/.]");
static TEMPLATE: Syntax = syntax(
    "template",
    "{client} {status} {duration_ms} {route} {reason}",
    "\\{[a-z_]+\\}",
);

pub(super) static SECTION: Section = Section {
    heading: "[access_log]",
    doc: "One line per request, written off the road of requests.",
    keys: &[
        key(
            "to",
            Kind::Either(&[
                Kind::Choice(&[("off", "no access log"), ("stdout", "standard output")]),
                Kind::Text(&TARGET_FILE),
            ]),
            Default::Text("stdout"),
            "Where lines go. A file is appended to and reopened on USR1; its path is relative to the configuration file. Its folder must be there.",
        ),
        key(
            "format",
            Kind::Either(&[
                Kind::Choice(&[
                    ("combined", "the Combined Log Format of Apache and nginx"),
                    ("json", "one JSON object per line"),
                ]),
                Kind::Text(&TEMPLATE),
            ]),
            Default::Text("combined"),
            "How a line looks. A template is a text with placeholders: `{client}` `{method}` `{path}` `{query}` \
             `{target}` `{protocol}` `{status}` `{bytes_out}` `{bytes_in}` `{duration_ms}` `{upstream_ms}` \
             `{site}` `{route}` `{upstream}` `{endpoint}` `{tries}` `{retries}` `{retry_refused}` `{queued_ms}` `{pick}` `{session}` `{hedge}` `{reason}` `{request_id}` `{referer}` \
             `{user_agent}` `{host}` `{time_iso}` `{time_unix}` `{time_common}`. A brace itself is written twice.",
        ),
        key(
            "queue_bytes_max",
            Kind::Size {
                max: SIZE_32,
                off: false,
            },
            Default::Text("4MiB"),
            "Bytes of lines that may wait to be written. When it is full, lines are dropped and counted; requests never wait.",
        ),
    ],
};

pub(super) fn read(
    fields: Fields<'_>,
    directories: &[&Path],
    report: &mut Report,
) -> Option<AccessLog> {
    let to = fields.text("to", report, |text, origin, report| {
        target(text, origin, directories, report)
    });
    let format = fields.text("format", report, format);
    let queue_bytes_max = fields.size_or_off("queue_bytes_max", report).unwrap_or(0);
    fields.finish();
    Some(AccessLog {
        to: to?,
        format,
        queue_bytes_max,
    })
}

fn target(
    text: &str,
    origin: Origin,
    directories: &[&Path],
    report: &mut Report,
) -> Option<Option<LogTarget>> {
    match text {
        "off" => Some(None),
        "stdout" => Some(Some(LogTarget::Stdout)),
        path if path.contains(['/', '.']) => {
            let directory = usize::try_from(origin.file)
                .ok()
                .and_then(|file| directories.get(file));
            Some(Some(LogTarget::File(NamedFile {
                path: directory.unwrap_or(&Path::new("")).join(path),
                origin,
            })))
        }
        other => {
            let words = ["off", "stdout"];
            let diagnostic = crate::scalar::unknown_word(other, origin, &words)
                .label("\"off\", \"stdout\", or a file path");
            report.push(match diagnostic.help {
                Some(_) => diagnostic,
                None => diagnostic.help(format!("for a file: \"./{other}\"")),
            });
            None
        }
    }
}

/// Reports a file whose folder is missing, which could not be opened at a start.
pub(crate) fn check_folder(log: &AccessLog, files: &dyn Files, report: &mut Report) {
    let LogTarget::File(file) = &log.to else {
        return;
    };
    let folder = file.path.parent().unwrap_or(Path::new(""));
    let Some(reason) = files.lacks_folder(folder) else {
        return;
    };
    let message = format!("the access log cannot be written: {reason}");
    report.push(
        Diagnostic::new(Code::MissingFolder, file.origin, message)
            .label(format!("in {}", folder.display()))
            .help("make the folder, or write the log elsewhere: \"stdout\", or another file"),
    );
}

fn format(text: &str, origin: Origin, report: &mut Report) -> Option<LogFormat> {
    match text {
        "combined" => Some(LogFormat::Combined),
        "json" => Some(LogFormat::Json),
        template if template.contains(['\n', '\r']) => {
            report.push(
                Diagnostic::new(
                    Code::BadTemplate,
                    origin,
                    "a line of the access log cannot contain a line break",
                )
                .help("every request is one line; the line break at its end is added"),
            );
            None
        }
        template if template.contains(['{', '}']) => {
            words::template(template, origin, report).map(LogFormat::Template)
        }
        other => {
            let message = format!("{} is neither a format nor a template", quoted(other));
            report.push(
                Diagnostic::new(Code::BadTemplate, origin, message)
                    .maybe_help(report_similar(other)),
            );
            None
        }
    }
}

fn report_similar(word: &str) -> Option<String> {
    Report::default()
        .suggest(word, ["combined", "json"])
        .or_else(|| {
            Some(format!(
                "\"combined\", \"json\", or a template such as \"{}\"",
                TEMPLATE.example
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::SECTION;
    use crate::settings::{LogField, Placeholder};

    #[test]
    fn the_reference_names_every_placeholder() {
        let doc = SECTION
            .keys
            .iter()
            .find(|key| key.name == "format")
            .unwrap()
            .doc;
        let listed: Vec<_> = doc
            .split("`{")
            .skip(1)
            .filter_map(|rest| rest.split("}`").next())
            .collect();
        let known: Vec<_> = LogField::NAMES.iter().map(|(name, _)| *name).collect();
        assert_eq!(listed, known);
    }
}
