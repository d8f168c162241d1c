//! Readers of texts of some syntax: each returns what the text means, or reports why it means nothing.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::regex_size;
use crate::settings::{
    Placeholder, ServerAddress, ServerAddressError, Template, TemplateFault, TemplateFaultKind,
};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// A name of one's own: 1 to 64 letters, digits, `_`, `-`, `.`, since names go into metrics and logs.
pub(crate) fn name(text: &str, origin: Origin, report: &mut Report) {
    let is_name = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !is_name {
        report.push(
            Diagnostic::new(Code::BadName, origin, format!("{} is not a name", quoted(text)))
                .cause("a name has 1 to 64 letters, digits, `_`, `-` and `.`, since it goes into logs and metrics"),
        );
    }
}

/// The value of a label: 1 to 128 visible ASCII characters and spaces, since labels go into explanations.
pub(crate) fn label(text: &str, origin: Origin, report: &mut Report) {
    let is_label =
        (1..=128).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !is_label {
        report.push(
            Diagnostic::new(
                Code::BadValue,
                origin,
                format!("{} is not a label", quoted(text)),
            )
            .cause("a label has 1 to 128 printable characters of ASCII"),
        );
    }
}

/// `ip:port`, to listen on.
pub(crate) fn socket_address(
    text: &str,
    origin: Origin,
    report: &mut Report,
) -> Option<SocketAddr> {
    let help = match listen_address(text) {
        Ok(address) => return Some(address),
        Err(help) => help,
    };
    report.push(
        Diagnostic::new(
            Code::BadAddress,
            origin,
            format!("{} is not an address to listen on", quoted(text)),
        )
        .help(help),
    );
    None
}

/// Reads `ip:port`, to listen on.
///
/// # Errors
/// It is none: what could be written instead.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    Err(match text.rsplit_once(':') {
        Some(("" | "*", port)) if port.parse::<u16>().is_ok() => {
            format!("for every address: \"0.0.0.0:{port}\" and \"[::]:{port}\"")
        }
        Some(("localhost", port)) => {
            format!("names are not resolved here: \"127.0.0.1:{port}\" or \"[::1]:{port}\"")
        }
        _ if text.parse::<u16>().is_ok() => {
            format!("for every address: \"0.0.0.0:{text}\" and \"[::]:{text}\"")
        }
        _ => match text.parse::<IpAddr>() {
            Ok(ip) => format!("with a port: \"{}\"", SocketAddr::new(ip, 80)),
            Err(_) => "`ip:port` such as \"0.0.0.0:80\", or \"[::1]:80\" for IPv6".to_owned(),
        },
    })
}

/// `host:port` of a backend.
pub(crate) fn server_address(
    text: &str,
    origin: Origin,
    report: &mut Report,
) -> Option<ServerAddress> {
    let error = match text.parse() {
        Ok(address) => return Some(address),
        Err(error) => error,
    };
    let help = match error {
        ServerAddressError::MissingPort => match text.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("for example \"[{ip}]:80\""),
            _ => format!("for example \"{text}:80\""),
        },
        ServerAddressError::Url => match text
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'))
        {
            Some(rest) if rest.parse::<ServerAddress>().is_ok() => format!("write \"{rest}\""),
            Some(rest) if !rest.is_empty() && !rest.contains([':', '/']) => {
                format!("write \"{rest}:80\"")
            }
            _ => "write `host:port`; a path belongs to the routes".to_owned(),
        },
        ServerAddressError::BadPort | ServerAddressError::BadHost => {
            "`ip:port`, `[ipv6]:port` or `name:port`, such as \"10.0.0.1:8080\"".to_owned()
        }
    };
    report.push(
        Diagnostic::new(
            Code::BadAddress,
            origin,
            format!("{} is not the address of a server", quoted(text)),
        )
        .label(error.to_string())
        .help(help),
    );
    None
}

/// An address range, or one address.
pub(crate) fn range(text: &str, origin: Origin, report: &mut Report) -> Option<IpNet> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(IpNet::from(ip));
    }
    match text.parse::<IpNet>() {
        Ok(range) if range.trunc() == range => Some(range),
        Ok(range) => {
            report.push(
                Diagnostic::new(
                    Code::BadRange,
                    origin,
                    format!("{} has bits beyond its prefix", quoted(text)),
                )
                .help(format!(
                    "\"{}\" for the whole range, \"{}\" for the one address",
                    range.trunc(),
                    range.addr()
                )),
            );
            None
        }
        Err(_) => {
            report.push(
                Diagnostic::new(
                    Code::BadRange,
                    origin,
                    format!("{} is not an address range", quoted(text)),
                )
                .help("for example \"10.0.0.0/8\", \"192.0.2.7\" or \"2001:db8::/32\""),
            );
            None
        }
    }
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A token; `what` names it, such as "a pseudonym".
pub(crate) fn token(text: &str, what: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if is_token(text) {
        return Some(text.to_owned());
    }
    report.push(
        Diagnostic::new(
            Code::BadValue,
            origin,
            format!("{} is not {what}", quoted(text)),
        )
        .cause("it may consist of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 section 5.6.2)"),
    );
    None
}

/// A request method. Methods are case-sensitive, so a known one in lower case is surely not meant.
pub(crate) fn method(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let upper = text.to_ascii_uppercase();
    let is_wildcard = text.contains('*');
    if is_token(text) && !is_wildcard && (upper == text || !KNOWN.contains(&upper.as_str())) {
        return Some(text.to_owned());
    }
    let diagnostic = Diagnostic::new(
        Code::BadMethod,
        origin,
        format!("{} is not a method", quoted(text)),
    );
    report.push(if is_wildcard {
        diagnostic
            .label("`*` is no wildcard here")
            .help("every method: leave the key out")
    } else if KNOWN.contains(&upper.as_str()) {
        diagnostic
            .cause("methods are case-sensitive (RFC 9110 section 9.1)")
            .help(format!("did you mean \"{upper}\"?"))
    } else {
        diagnostic.help("for example \"GET\" or \"POST\"")
    });
    None
}

/// The name of a header field. A star is allowed in names (RFC 9110 section 5.1), but whoever writes one means a wildcard.
pub(crate) fn field_name(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if is_token(text) && text.contains('*') {
        report.push(
            Diagnostic::new(
                Code::BadHeader,
                origin,
                format!("{} names no header", quoted(text)),
            )
            .label("`*` is no wildcard here")
            .cause("a header is named as it is sent, in whatever case; nothing would match this")
            .help("write the whole name, and each further header with its own"),
        );
        return None;
    }
    if is_token(text) {
        return Some(text.to_owned());
    }
    let diagnostic = Diagnostic::new(
        Code::BadHeader,
        origin,
        format!("{} is not the name of a header", quoted(text)),
    );
    let trimmed = text.trim().trim_end_matches(':');
    report.push(if is_token(trimmed) {
        diagnostic.help(format!("did you mean \"{trimmed}\"?"))
    } else {
        diagnostic.cause(
            "a name may consist of letters, digits and !#$%&'*+-.^_`|~ (RFC 9110 section 5.1)",
        )
    });
    None
}

/// Fields that frame a message or belong to one connection (RFC 9110 sections 7.6.1 and 10.1.1, RFC 9112 section 6), and
/// `Host`, which has keys of its own.
pub(crate) const GATEWAY_FIELDS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The name of a header field that a rule may write or remove.
pub(crate) fn writable_field_name(
    text: &str,
    origin: Origin,
    report: &mut Report,
) -> Option<String> {
    let name = field_name(text, origin, report)?;
    if GATEWAY_FIELDS
        .iter()
        .any(|field| name.eq_ignore_ascii_case(field))
    {
        let diagnostic = Diagnostic::new(
            Code::BadHeader,
            origin,
            format!("{} cannot be changed", quoted(text)),
        )
        .label("the gateway's own");
        report.push(if name.eq_ignore_ascii_case("host") {
            diagnostic
                .cause("it tells which site a request is for, and no answer has it")
                .help("what backends see in it is the key `host` of a route or an upstream")
        } else {
            diagnostic
                .cause("the field frames the message or belongs to one connection; the gateway writes it itself")
                .help("remove it here")
        });
        return None;
    }
    Some(name)
}

/// The name of a header field for something that the gateway tells backends. Whatever clients send under it is removed.
pub(crate) fn told_field_name(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if text.eq_ignore_ascii_case("host") {
        report.push(
            Diagnostic::new(Code::BadHeader, origin, "`Host` cannot tell anything else")
                .cause("requests would lose the host that they are for")
                .help("use a field of your own, such as \"X-Client-Subject\""),
        );
        return None;
    }
    writable_field_name(text, origin, report)
}

/// The value of a header field (RFC 9110 section 5.5). It is not repeated in words: it may be a secret.
pub(crate) fn field_value(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    let is_control = |c: char| c.is_control() && c != '\t';
    let control = text.char_indices().find(|(_, c)| is_control(*c));
    let problem = if let Some((_, c)) = control {
        format!(
            "it has the control character {}",
            quoted(c.encode_utf8(&mut [0; 4]))
        )
    } else if text.trim_matches([' ', '\t']) != text {
        "it begins or ends with a space".to_owned()
    } else {
        return Some(text.to_owned());
    };
    let message = "this is not the value of a header";
    report.push(Diagnostic::new(Code::BadHeader, origin, message).cause(problem));
    None
}

/// A template. What is wrong with it is told at its place; braces without meaning are one mistake.
pub(crate) fn template<P: Placeholder>(
    text: &str,
    origin: Origin,
    report: &mut Report,
) -> Option<Template<P>> {
    let faults = match Template::parse(text) {
        Ok(template) => return Some(template),
        Err(faults) => faults,
    };
    let place = |fault: &TemplateFault| within(origin, text, fault.place.start, fault.place.end);
    let is_stray = |fault: &&TemplateFault| fault.kind == TemplateFaultKind::Stray;
    let (strays, others): (Vec<&TemplateFault>, Vec<_>) = faults.iter().partition(is_stray);
    for fault in others {
        if report.is_full() {
            report.omit_error();
            continue;
        }
        let problem = template_problem::<P>(&fault.kind, place(fault), report);
        report.push(problem);
    }
    if let Some((first, more)) = strays.split_first() {
        let problem = template_problem::<P>(&first.kind, place(first), report);
        let more = more.iter().take(STRAYS_SHOWN_MAX);
        report.push(more.fold(problem, |problem, stray| {
            problem.related(place(stray), "this one, too")
        }));
    }
    None
}

/// Further braces without meaning that are shown.
const STRAYS_SHOWN_MAX: usize = 3;

/// How a brace is written that stands for itself.
const TWICE: &str = "a brace itself is written twice: {{ or }}";

fn template_problem<P: Placeholder>(
    kind: &TemplateFaultKind,
    place: Origin,
    report: &mut Report,
) -> Diagnostic {
    let names = || P::NAMES.iter().map(|(name, _)| *name);
    let known = || {
        let braced: Vec<String> = names().map(|name| format!("{{{name}}}")).collect();
        format!("known here: {}", braced.join(" "))
    };
    let problem = |message: String| Diagnostic::new(Code::BadTemplate, place, message);
    match kind {
        TemplateFaultKind::Unknown(name) => {
            let similar = report.similar(name, names());
            let help = similar.map_or_else(known, |best| format!("did you mean {{{best}}}?"));
            problem(format!("there is no placeholder {{{name}}} here"))
                .label("unknown placeholder")
                .help(help)
        }
        TemplateFaultKind::Empty => problem("a placeholder without a name".to_owned())
            .label("names nothing")
            .help(format!("{}; {TWICE}", known())),
        TemplateFaultKind::Unclosed(name) => {
            let closed = names().find(|known| known == name);
            let help = closed.map_or_else(
                || TWICE.to_owned(),
                |name| format!("write {{{name}}}; {TWICE}"),
            );
            problem("a placeholder that is not closed".to_owned())
                .label("`}` is missing")
                .help(help)
        }
        TemplateFaultKind::Stray => problem("a brace that belongs to no placeholder".to_owned())
            .label("stands alone")
            .help(TWICE),
    }
}

/// A character that what is written here may not have, as it is.
pub(crate) fn odd_character(
    code: Code,
    odd: char,
    what: &str,
    origin: Origin,
    text: &str,
    at: usize,
) -> Diagnostic {
    let place = within(origin, text, at, at + odd.len_utf8());
    let encoded: String = odd
        .encode_utf8(&mut [0; 4])
        .bytes()
        .map(|byte| format!("%{byte:02X}"))
        .collect();
    let shown = match odd {
        ' ' => "a space".to_owned(),
        odd => quoted(odd.encode_utf8(&mut [0; 4])),
    };
    Diagnostic::new(code, place, format!("{what} has {shown}"))
        .label("cannot be sent as it is")
        .cause("a URL consists of visible characters of ASCII, and not of all of them (RFC 3986 section 2)")
        .help(format!("percent-encoded: {encoded}"))
}

/// The longest regular expression.
const REGEX_BYTES_MAX: usize = 8192;

/// A regular expression.
pub(crate) fn regex(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    if text.len() > REGEX_BYTES_MAX {
        report.push(
            Diagnostic::new(Code::BadRegex, origin, "the regular expression is too long")
                .cause(format!("it may have {REGEX_BYTES_MAX} bytes")),
        );
        return None;
    }
    let error = match regex_syntax::Parser::new().parse(text) {
        Ok(hir) if regex_size::is_too_large(text, &hir) => {
            report.push(
                Diagnostic::new(
                    Code::BadRegex,
                    origin,
                    "the regular expression is too large",
                )
                .cause("it would take more than 4 MiB: repetitions multiply what they repeat")
                .help("repeat less, or `+` instead of a large number"),
            );
            return None;
        }
        Ok(_) => return Some(text.to_owned()),
        Err(error) => error,
    };
    let (problem, span) = match &error {
        regex_syntax::Error::Parse(error) => (error.kind().to_string(), *error.span()),
        regex_syntax::Error::Translate(error) => (error.kind().to_string(), *error.span()),
        _ => (
            error.to_string(),
            regex_syntax::ast::Span::splat(regex_syntax::ast::Position::new(0, 1, 1)),
        ),
    };
    // A condition's expression stands behind `~`.
    let shift = usize::from(origin_length(origin) == text.len() + 3);
    let place = within(
        origin,
        text,
        span.start.offset + shift,
        span.end.offset.max(span.start.offset + 1) + shift,
    );
    let diagnostic = Diagnostic::new(
        Code::BadRegex,
        place,
        format!("{} is not a regular expression", quoted(text)),
    );
    report.push(
        if problem.contains("look-around") || problem.contains("backreference") {
            diagnostic
                .label(problem)
                .cause("they cannot be matched in linear time")
        } else {
            diagnostic.label(problem)
        },
    );
    None
}

/// Checks the groups that the replacement of a (valid) regular expression refers to.
pub(crate) fn replacement(text: &str, regex: &str, origin: Origin, report: &mut Report) {
    let groups =
        regex_syntax::parse(regex).map_or(0, |hir| hir.properties().explicit_captures_len());
    let has_name = |name: &str| {
        regex.contains(&format!("?P<{name}>")) || regex.contains(&format!("?<{name}>"))
    };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let start = text.len() - rest.len() + at;
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let group = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').map_or("", |(group, _)| group),
            // As the `regex` crate reads it: the longest name, so `$1a` is the group `1a`.
            None => &after[..after.find(|c| !is_word(c)).unwrap_or(after.len())],
        };
        let exists = match group.parse::<usize>() {
            Ok(number) => number <= groups,
            Err(_) => group.is_empty() || has_name(group),
        };
        if !exists {
            let digits: String = group.chars().take_while(char::is_ascii_digit).collect();
            let help = if !digits.is_empty() && digits.len() < group.len() {
                format!("write ${{{digits}}} to end the group's name there")
            } else {
                format!("the expression has {groups} groups; $$ is a dollar sign")
            };
            let braces = if after.starts_with('{') { 2 } else { 0 };
            report.push(
                Diagnostic::new(
                    Code::BadValue,
                    within(origin, text, start, start + 1 + braces + group.len()),
                    format!("the expression has no group {}", quoted(group)),
                )
                .label("would become nothing")
                .help(help),
            );
        }
        rest = after;
    }
}

/// The part `start..end` of a text that stands at `origin` in quotes; the whole where escapes or substitutions make the
/// text differ from what is written.
pub(crate) fn within(origin: Origin, text: &str, start: usize, end: usize) -> Origin {
    let written = origin_length(origin);
    if written != text.len() + 2 && written != text.len() + 3 {
        return origin;
    }
    let first = origin.start as usize + 1;
    let last = (origin.end as usize).saturating_sub(1);
    Origin::new(
        origin.file,
        (first + start).min(last),
        (first + end).min(last.max(first)),
    )
}

fn origin_length(origin: Origin) -> usize {
    origin.end.saturating_sub(origin.start) as usize
}
