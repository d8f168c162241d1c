//! Diagnostics for people and for programs.

use crate::diagnostic::{Diagnostic, Severity};
use crate::secrets::{self, Hidden};
use crate::source::{Place, Source, Sources};
use crate::{Origin, Outcome};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

/// Characters of a line that are shown; longer lines are cut around the offending text.
const LINE_CHARS_MAX: usize = 160;

/// Every diagnostic for people: what, where with the line underlined, why, what to do; and a count at the end. Empty if
/// there is none. `colour` adds ANSI colours. Of what is a secret, or may be meant for one, nothing is shown: the text may
/// go to a log, or to whoever is allowed to have a configuration read again.
pub fn render(outcome: &Outcome, colour: bool) -> String {
    render_for(outcome, colour, &mut Reader::Anybody(HashMap::new()))
}

/// The same for the terminal of whoever can read the files anyhow, with lines as they are.
pub fn render_in_full(outcome: &Outcome, colour: bool) -> String {
    render_for(outcome, colour, &mut Reader::Operator)
}

/// Who reads what is shown.
enum Reader {
    /// Somebody who can read the files.
    Operator,
    /// Anybody, with what is hidden in each text that was shown so far.
    Anybody(HashMap<u32, Hidden>),
}

impl Reader {
    fn words<'d>(&self, diagnostic: &'d Diagnostic, sources: &Sources) -> Cow<'d, Diagnostic> {
        match self {
            Self::Operator => Cow::Borrowed(diagnostic),
            Self::Anybody(_) => secrets::in_words(diagnostic, sources),
        }
    }

    fn excerpt(&mut self, source: &Source, origin: Origin, place: Place) -> Excerpt {
        match self {
            Self::Operator => Excerpt::of(source, origin, place, &Hidden::default()),
            Self::Anybody(known) => {
                let hidden = known
                    .entry(origin.file)
                    .or_insert_with(|| secrets::hidden(source.name(), source.text()));
                Excerpt::of(source, origin, place, hidden)
            }
        }
    }
}

fn render_for(outcome: &Outcome, colour: bool, reader: &mut Reader) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    for diagnostic in &outcome.diagnostics {
        render_one(diagnostic, &outcome.sources, paint, reader, &mut out);
        out.push('\n');
    }
    let count = |severity| {
        outcome
            .diagnostics
            .iter()
            .filter(|d| d.severity() == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 0 {
        let _ = write!(
            out,
            "{}, {}",
            plural(errors, "error"),
            plural(warnings, "warning")
        );
        let more = if outcome.omitted > 0 {
            format!(", and {} more", outcome.omitted)
        } else {
            String::new()
        };
        let _ = writeln!(out, "{more}");
    }
    out
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.wrap(
            if severity == Severity::Error {
                "1;31"
            } else {
                "1;33"
            },
            text,
        )
    }

    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn frame(self, text: &str) -> String {
        self.wrap("34", text)
    }
}

fn render_one(
    diagnostic: &Diagnostic,
    sources: &Sources,
    paint: Paint,
    reader: &mut Reader,
    out: &mut String,
) {
    let diagnostic = &*reader.words(diagnostic, sources);
    let severity = diagnostic.severity();
    let title = paint.severity(severity, &format!("{severity}[{}]", diagnostic.code));
    let _ = writeln!(out, "{title}: {}", paint.bold(&diagnostic.message));
    let places: Vec<(Origin, &str, bool)> =
        std::iter::once((diagnostic.origin, diagnostic.label.as_str(), true))
            .chain(
                diagnostic
                    .related
                    .iter()
                    .map(|(origin, label)| (*origin, label.as_str(), false)),
            )
            .collect();
    let last_line = places
        .iter()
        .map(|(origin, ..)| sources.place(*origin).line)
        .max()
        .unwrap_or(1);
    let margin = last_line.to_string().len();
    for (origin, label, is_main) in places {
        let Some(source) = sources.get(origin.file) else {
            continue;
        };
        let place = sources.place(origin);
        let arrow = if is_main { "-->" } else { ":::" };
        let _ = writeln!(
            out,
            "{:margin$} {} {}:{}:{}",
            "",
            paint.frame(arrow),
            source.name(),
            place.line,
            place.column
        );
        let excerpt = reader.excerpt(source, origin, place);
        // The very beginning stands for the whole file.
        let is_whole = origin.start == origin.end && origin.start == 0;
        if label.is_empty() && (is_whole || excerpt.line.is_empty()) {
            continue;
        }
        let mark = if is_main { '^' } else { '-' };
        let underline = format!("{} {label}", mark.to_string().repeat(excerpt.length));
        let underline = if is_main {
            paint.severity(severity, underline.trim_end())
        } else {
            paint.frame(underline.trim_end())
        };
        let bar = paint.frame("|");
        let number = paint.frame(&format!("{:>margin$}", place.line));
        let _ = writeln!(out, "{number} {bar} {}", excerpt.line);
        let _ = writeln!(
            out,
            "{:margin$} {bar} {:2$}{underline}",
            "", "", excerpt.start
        );
    }
    render_words(diagnostic, margin, paint, out);
}

/// Why, and what to do.
fn render_words(diagnostic: &Diagnostic, margin: usize, paint: Paint, out: &mut String) {
    for (name, text) in [("cause", &diagnostic.cause), ("help", &diagnostic.help)] {
        if let Some(text) = text {
            let _ = writeln!(
                out,
                "{:margin$} {} {}: {text}",
                "",
                paint.frame("="),
                paint.bold(name)
            );
        }
    }
}

/// The part of a line that is shown, cut around the offending text.
struct Excerpt {
    line: String,
    /// Characters before the offending text.
    start: usize,
    /// Characters of the offending text, at least 1.
    length: usize,
}

impl Excerpt {
    fn of(source: &Source, origin: Origin, place: Place, hidden: &Hidden) -> Self {
        let (before, after) = source.line_at(place.line, origin.start);
        // Text that goes on in further lines is underlined to the end of its first one.
        let length = if place.end_line > place.line {
            LINE_CHARS_MAX
        } else {
            (place.end_column - place.column).min(LINE_CHARS_MAX)
        };
        let marked = after
            .char_indices()
            .nth(length)
            .map_or(after, |(end, _)| &after[..end]);
        let line_start = source.line_start(place.line);
        let marked_start = line_start + before.len();
        let cover = |piece: &str, offset| hidden.cover(piece, offset, line_start);
        let rest = cover(&after[marked.len()..], marked_start + marked.len());
        let (before, marked) = (cover(before, line_start), cover(marked, marked_start));
        let after = format!("{marked}{rest}");
        let width = before.chars().count();
        let is_cut = width >= LINE_CHARS_MAX / 2 && before.len() + after.len() > LINE_CHARS_MAX;
        let before = if is_cut {
            let first = before.char_indices().rev().take(LINE_CHARS_MAX / 4).last();
            &before[first.map_or(0, |(at, _)| at)..]
        } else {
            &before
        };
        let mut line = if is_cut {
            "…".to_owned()
        } else {
            String::new()
        };
        let start = usize::from(is_cut) + show(before, &mut line);
        let room = LINE_CHARS_MAX.saturating_sub(before.chars().count());
        let shown = after
            .char_indices()
            .nth(room)
            .map_or(&*after, |(end, _)| &after[..end]);
        let mut underlined = String::new();
        let length = show(&marked[..marked.len().min(shown.len())], &mut underlined);
        show(shown, &mut line);
        if shown.len() < after.len() {
            line.push('…');
        }
        Self {
            line: line.trim_end().to_owned(),
            start,
            length: length.max(1),
        }
    }
}

/// Appends a text as it is shown, and returns its width: tabs expanded, control characters replaced.
fn show(text: &str, out: &mut String) -> usize {
    let mut width = 0;
    for c in text.chars() {
        match c {
            '\t' => out.push_str("    "),
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
        width += if c == '\t' { 4 } else { 1 };
    }
    width
}

/// A diagnostic for programs.
#[derive(Serialize)]
struct JsonDiagnostic<'d> {
    file: &'d str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    severity: String,
    code: &'static str,
    message: &'d str,
    label: &'d str,
    cause: Option<&'d str>,
    help: Option<&'d str>,
    related: Vec<JsonPlace<'d>>,
}

/// Another place that belongs to a diagnostic.
#[derive(Serialize)]
struct JsonPlace<'d> {
    file: &'d str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    label: &'d str,
}

/// Every diagnostic as a JSON array, for editors: `file`, `line`, `column`, `end_line`, `end_column` (all from 1, columns
/// in Unicode scalar values), `severity` (`error` or `warning`), `code`, `message`, `label`, `cause` and `help` (or null),
/// and `related` places. Whoever reads them is shown as much of secrets as by [`render`].
pub fn to_json(outcome: &Outcome) -> String {
    let sources = &outcome.sources;
    let file = |origin: Origin| sources.get(origin.file).map_or("", |source| source.name());
    let said: Vec<Cow<'_, Diagnostic>> = outcome
        .diagnostics
        .iter()
        .map(|diagnostic| secrets::in_words(diagnostic, sources))
        .collect();
    let diagnostics: Vec<JsonDiagnostic<'_>> = said
        .iter()
        .map(|diagnostic| {
            let place = sources.place(diagnostic.origin);
            let related = diagnostic.related.iter().map(|(origin, label)| {
                let place = sources.place(*origin);
                JsonPlace {
                    file: file(*origin),
                    line: place.line,
                    column: place.column,
                    end_line: place.end_line,
                    end_column: place.end_column,
                    label,
                }
            });
            JsonDiagnostic {
                file: file(diagnostic.origin),
                line: place.line,
                column: place.column,
                end_line: place.end_line,
                end_column: place.end_column,
                severity: diagnostic.severity().to_string(),
                code: diagnostic.code.name(),
                message: &diagnostic.message,
                label: &diagnostic.label,
                cause: diagnostic.cause.as_deref(),
                help: diagnostic.help.as_deref(),
                related: related.collect(),
            }
        })
        .collect();
    let mut json = serde_json::to_string_pretty(&diagnostics)
        .expect("plain texts and numbers are always JSON");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests;
