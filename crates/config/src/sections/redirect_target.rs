//! `to` of a redirect: a place that a client can be sent to, whose host no path and no query chooses. The rule is that of
//! `policy`, told with its place; a test of `snapshot` holds the two together.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::hosts;
use crate::settings::{Piece, Template, UrlPlaceholder};
use crate::words::{self, within};

/// How a target begins; `{scheme}` is a placeholder.
const BEGINNINGS: [&str; 4] = ["/", "http://", "https://", "{scheme}://"];

const EXAMPLES: &str =
    "a URL such as \"https://example.org{path}{query}\", or a path such as \"/new{query}\"";

pub(super) fn read(
    text: &str,
    origin: Origin,
    report: &mut Report,
) -> Option<Template<UrlPlaceholder>> {
    let errors = report.errors();
    if !BEGINNINGS.iter().any(|start| text.starts_with(start)) {
        report.push(bad_beginning(text, origin));
    }
    // RFC 9110 section 10.2.2: Location is a URI reference.
    let is_odd = |c: char| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>');
    if let Some((at, odd)) = text.char_indices().find(|(_, c)| is_odd(*c)) {
        report.push(words::odd_character(
            Code::BadValue,
            odd,
            "a URL",
            origin,
            text,
            at,
        ));
    }
    let template = words::template(text, origin, report)?;
    if report.errors() > errors {
        return None;
    }
    if let Some(diagnostic) = bad_host(&template, origin) {
        report.push(diagnostic);
        return None;
    }
    Some(template)
}

fn bad_beginning(text: &str, origin: Origin) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        Code::BadValue,
        origin,
        format!("{} is not where a client can be sent", quoted(text)),
    )
    .cause("a target begins with `/`, `http://`, `https://` or `{scheme}://`");
    let first = text.split(['/', '{']).next().unwrap_or("");
    let is_host = first.contains('.') && hosts::is_host_with_optional_port(first);
    match () {
        () if text.starts_with("{path}") => diagnostic.help(format!("write \"/{text}\"")),
        () if text.starts_with("{host}") => {
            diagnostic.help(format!("write \"{{scheme}}://{text}\""))
        }
        () if is_host => diagnostic.help(format!("write \"https://{text}\"")),
        () => diagnostic.help(EXAMPLES),
    }
}

/// What is wrong with the host that a target names.
fn bad_host(template: &Template<UrlPlaceholder>, origin: Origin) -> Option<Diagnostic> {
    let text = &template.text;
    let authority = |path: &str, query: &str| authority(&location(template, path, query));
    let plain = authority("/", "")?;
    let start = text.find("//").map_or(0, |at| at + 2);
    let end = text[start..].find(['/', '?', '#']);
    let end = end.map_or(text.len(), |at| start + at);
    let problem = |message: String| {
        Diagnostic::new(Code::BadValue, within(origin, text, start, end), message).help(EXAMPLES)
    };
    let depends = [("/x.invalid", ""), ("/", "?x"), ("/x:1/@y", "?@z")]
        .into_iter()
        .any(|(path, query)| authority(path, query).as_ref() != Some(&plain));
    if depends {
        let problem = problem("a client could choose the host that it is sent to".to_owned());
        return Some(problem.cause("what it asks for would stand where the host does"));
    }
    if plain.is_empty() {
        let whole = Diagnostic::new(
            Code::BadValue,
            origin,
            format!("{} has no host", quoted(text)),
        );
        return Some(whole.help(EXAMPLES));
    }
    let port = plain.rsplit_once(':').map(|(_, port)| port);
    let port = port.filter(|port| !port.contains(']'));
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.parse::<u16>().is_ok();
    if let Some(port) = port.filter(|port| !is_port(port)) {
        let problem = problem(format!("{} is not a port", quoted(port)));
        return Some(
            problem
                .label("after the colon")
                .cause("a port is a number up to 65535"),
        );
    }
    let is_host = hosts::is_host_with_optional_port(&plain) && !plain.contains('@');
    (!is_host).then(|| problem("this is not a host".to_owned()))
}

/// Where a client would be sent.
fn location(template: &Template<UrlPlaceholder>, path: &str, query: &str) -> String {
    let piece = |piece: &Piece<UrlPlaceholder>| match piece {
        Piece::Literal(text) => text.clone(),
        Piece::Placeholder(UrlPlaceholder::Scheme) => "http".to_owned(),
        Piece::Placeholder(UrlPlaceholder::Host) => "host.invalid".to_owned(),
        Piece::Placeholder(UrlPlaceholder::Path) => path.to_owned(),
        Piece::Placeholder(UrlPlaceholder::Query) => query.to_owned(),
    };
    let mut location: String = template.pieces.iter().map(piece).collect();
    let keeps_scheme =
        matches!(template.pieces.first(), Some(Piece::Literal(text)) if text.starts_with("//"));
    if !keeps_scheme {
        let slashes = location.bytes().take_while(|byte| *byte == b'/').count();
        location.drain(..slashes.saturating_sub(1));
    }
    location
}

/// The host and port of a URL; nothing for a path.
fn authority(location: &str) -> Option<String> {
    let rest = ["//", "http://", "https://"]
        .iter()
        .find_map(|start| location.strip_prefix(start))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}
