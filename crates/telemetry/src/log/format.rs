//! What a line looks like, compiled once: literal pieces and fields in turn.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;

use super::number::{decimal, millis, three_digits};
use super::stamp::Stamps;
use super::{Record, escape};

/// A field of a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Client,
    Method,
    Path,
    Query,
    Target,
    Protocol,
    Status,
    BytesOut,
    BytesIn,
    DurationMs,
    UpstreamMs,
    Site,
    Route,
    Upstream,
    Endpoint,
    Tries,
    Retries,
    RetryRefused,
    QueuedMs,
    Pick,
    Session,
    Hedge,
    Reason,
    RequestId,
    Referer,
    UserAgent,
    Host,
    TimeIso,
    TimeUnix,
    TimeCommon,
}

const FIELDS: [Field; 30] = [
    Field::Client,
    Field::Method,
    Field::Path,
    Field::Query,
    Field::Target,
    Field::Protocol,
    Field::Status,
    Field::BytesOut,
    Field::BytesIn,
    Field::DurationMs,
    Field::UpstreamMs,
    Field::Site,
    Field::Route,
    Field::Upstream,
    Field::Endpoint,
    Field::Tries,
    Field::Retries,
    Field::RetryRefused,
    Field::QueuedMs,
    Field::Pick,
    Field::Session,
    Field::Hedge,
    Field::Reason,
    Field::RequestId,
    Field::Referer,
    Field::UserAgent,
    Field::Host,
    Field::TimeIso,
    Field::TimeUnix,
    Field::TimeCommon,
];

/// The names that a template may have between braces, in the order of the documentation.
pub const PLACEHOLDERS: [&str; 30] = [
    "client",
    "method",
    "path",
    "query",
    "target",
    "protocol",
    "status",
    "bytes_out",
    "bytes_in",
    "duration_ms",
    "upstream_ms",
    "site",
    "route",
    "upstream",
    "endpoint",
    "tries",
    "retries",
    "retry_refused",
    "queued_ms",
    "pick",
    "session",
    "hedge",
    "reason",
    "request_id",
    "referer",
    "user_agent",
    "host",
    "time_iso",
    "time_unix",
    "time_common",
];

/// The Combined Log Format of Apache, spoken by every log reader. The two dashes stand for an identity and a user
/// that a proxy does not know.
const COMBINED: &str = "{client} - - [{time_common}] \"{method} {target} {protocol}\" {status} {bytes_out} \"{referer}\" \"{user_agent}\"";

/// The fields of a JSON line in their order.
const JSON: [Field; 28] = [
    Field::TimeIso,
    Field::Client,
    Field::Method,
    Field::Host,
    Field::Path,
    Field::Query,
    Field::Protocol,
    Field::Status,
    Field::Reason,
    Field::BytesIn,
    Field::BytesOut,
    Field::DurationMs,
    Field::UpstreamMs,
    Field::Site,
    Field::Route,
    Field::Upstream,
    Field::Endpoint,
    Field::Tries,
    Field::Retries,
    Field::RetryRefused,
    Field::QueuedMs,
    Field::Pick,
    Field::Session,
    Field::Hedge,
    Field::RequestId,
    Field::Referer,
    Field::UserAgent,
    Field::TimeUnix,
];

/// A field and the text before it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    literal: Box<[u8]>,
    field: Field,
}

/// How values are written: bare, with a dash for what is absent; or as JSON values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Json,
}

/// A compiled format of access log lines.
///
/// Absent values are `-` (JSON: `null`). Values are escaped in every format, see the sources of the escaping for
/// its rules; a template decides only about the text around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pieces: Vec<Piece>,
    /// The text after the last field, with the line feed.
    end: Box<[u8]>,
    style: Style,
}

/// Why a template can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// No field has this name.
    UnknownPlaceholder {
        /// The name as written.
        name: String,
        /// Where the name begins in the template, in bytes.
        at: usize,
        /// A name that looks like it.
        suggestion: Option<&'static str>,
    },
    /// An opening brace without its closing one.
    Unclosed {
        /// Where the brace is in the template, in bytes.
        at: usize,
    },
    /// A closing brace without its opening one; a literal brace is written twice.
    StrayBrace {
        /// Where the brace is in the template, in bytes.
        at: usize,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::UnknownPlaceholder {
                name, suggestion, ..
            } => {
                write!(formatter, "unknown placeholder `{{{name}}}`")?;
                match suggestion {
                    Some(known) => write!(formatter, "; did you mean `{{{known}}}`?"),
                    None => Ok(()),
                }
            }
            TemplateError::Unclosed { .. } => {
                write!(
                    formatter,
                    "`{{` without `}}`; a literal brace is written `{{{{`"
                )
            }
            TemplateError::StrayBrace { .. } => {
                write!(
                    formatter,
                    "`}}` without `{{`; a literal brace is written `}}}}`"
                )
            }
        }
    }
}

impl std::error::Error for TemplateError {}

impl Format {
    /// The format that a configuration names: `combined`, `json`, or a template.
    ///
    /// # Errors
    /// When it is a template with a mistake.
    pub fn parse(text: &str) -> Result<Format, TemplateError> {
        match text {
            "combined" => Ok(Format::combined()),
            "json" => Ok(Format::json()),
            template => Format::template(template),
        }
    }

    /// The Combined Log Format of Apache, times in UTC.
    #[must_use]
    pub fn combined() -> Format {
        Format::template(COMBINED).expect("the constant is a valid template")
    }

    /// One JSON object a line, always with the same keys.
    #[must_use]
    pub fn json() -> Format {
        let mut pieces = Vec::new();
        for (number, field) in JSON.into_iter().enumerate() {
            let begin = if number == 0 { "{" } else { "," };
            let literal = format!("{begin}\"{}\":", field.name());
            let literal = literal.into_bytes().into();
            pieces.push(Piece { literal, field });
        }
        Format {
            pieces,
            end: b"}\n".as_slice().into(),
            style: Style::Json,
        }
    }

    /// A format of one's own: [`PLACEHOLDERS`] between braces, any text around them, `{{` and `}}` for braces.
    ///
    /// # Errors
    /// When a placeholder is unknown or a brace stands alone.
    pub fn template(text: &str) -> Result<Format, TemplateError> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let at = text.len() - rest.len() + brace;
            literal.push_str(&rest[..brace]);
            rest = &rest[brace..];
            if let Some(after) = rest.strip_prefix("{{").or(rest.strip_prefix("}}")) {
                literal.push_str(&rest[..1]);
                rest = after;
                continue;
            }
            let Some(inside) = rest.strip_prefix('{') else {
                return Err(TemplateError::StrayBrace { at });
            };
            let Some(end) = inside.find('}') else {
                return Err(TemplateError::Unclosed { at });
            };
            let field = Field::named(&inside[..end], at + 1)?;
            let literal = std::mem::take(&mut literal).into_bytes().into();
            pieces.push(Piece { literal, field });
            rest = &inside[end + 1..];
        }
        literal.push_str(rest);
        literal.push('\n');
        Ok(Format {
            pieces,
            end: literal.into_bytes().into(),
            style: Style::Plain,
        })
    }

    /// Writes one line, its line feed included.
    pub(super) fn write(&self, out: &mut Vec<u8>, record: &Record<'_>, stamps: &mut Stamps) {
        for Piece { literal, field } in &self.pieces {
            out.extend_from_slice(literal);
            write_field(out, *field, record, stamps, self.style);
        }
        out.extend_from_slice(&self.end);
    }
}

impl Field {
    fn name(self) -> &'static str {
        PLACEHOLDERS[self as usize]
    }

    fn named(name: &str, at: usize) -> Result<Field, TemplateError> {
        if let Some(number) = PLACEHOLDERS.iter().position(|known| *known == name) {
            return Ok(FIELDS[number]);
        }
        let suggestion = PLACEHOLDERS
            .into_iter()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness > 0.75)
            .max_by(|left, right| left.0.total_cmp(&right.0))
            .map(|(_, known)| known);
        Err(TemplateError::UnknownPlaceholder {
            name: name.to_owned(),
            at,
            suggestion,
        })
    }
}

fn write_field(
    out: &mut Vec<u8>,
    field: Field,
    record: &Record<'_>,
    stamps: &mut Stamps,
    style: Style,
) {
    match field {
        Field::Client => quoted(out, style, |out| address(out, record.client)),
        Field::Method => text(out, style, record.method),
        Field::Path => text(out, style, record.path),
        Field::Query => text(out, style, record.query),
        Field::Target => text(out, style, record.target),
        Field::Protocol => text(out, style, record.protocol.as_bytes()),
        Field::Status => status(out, style, record.status),
        Field::BytesOut => decimal(out, record.bytes_out),
        Field::BytesIn => decimal(out, record.bytes_in),
        Field::DurationMs => millis(out, record.duration_micros),
        Field::UpstreamMs => match record.upstream_micros {
            Some(micros) => millis(out, micros),
            None => absent(out, style),
        },
        Field::Site => text(out, style, record.site.as_bytes()),
        Field::Route => text(out, style, record.route.as_bytes()),
        Field::Upstream => text(out, style, record.upstream.as_bytes()),
        Field::Endpoint => text(out, style, record.endpoint.as_bytes()),
        Field::Tries => decimal(out, u64::from(record.tries)),
        Field::Retries => text(out, style, record.retries.as_bytes()),
        Field::RetryRefused => text(out, style, record.retry_refused.as_bytes()),
        Field::QueuedMs => millis(out, record.queued_micros),
        Field::Pick => text(out, style, record.pick.as_bytes()),
        Field::Session => text(out, style, record.session.as_bytes()),
        Field::Hedge => text(out, style, record.hedge.as_bytes()),
        Field::Reason => text(out, style, record.reason.as_bytes()),
        Field::RequestId => text(out, style, record.request_id),
        Field::Referer => text(out, style, record.referer),
        Field::UserAgent => text(out, style, record.user_agent),
        Field::Host => text(out, style, record.host),
        Field::TimeIso => quoted(out, style, |out| {
            out.extend_from_slice(&stamps.iso(record.time));
        }),
        Field::TimeUnix => {
            // Seconds with milliseconds.
            let millis = record.time.millis();
            decimal(out, millis / 1_000);
            out.push(b'.');
            out.extend_from_slice(&three_digits((millis % 1_000) as u32));
        }
        Field::TimeCommon => quoted(out, style, |out| {
            out.extend_from_slice(stamps.common(record.time));
        }),
    }
}

#[inline]
fn text(out: &mut Vec<u8>, style: Style, value: &[u8]) {
    if value.is_empty() {
        return absent(out, style);
    }
    match style {
        Style::Plain => escape::plain(out, value),
        Style::Json => quoted(out, style, |out| escape::json(out, value)),
    }
}

/// Three digits also where no status was sent, for readers that expect three.
fn status(out: &mut Vec<u8>, style: Style, status: u16) {
    match style {
        Style::Plain => out.extend_from_slice(&three_digits(u32::from(status))),
        // JSON knows no leading zeros.
        Style::Json => decimal(out, u64::from(status)),
    }
}

fn absent(out: &mut Vec<u8>, style: Style) {
    match style {
        Style::Plain => out.push(b'-'),
        Style::Json => out.extend_from_slice(b"null"),
    }
}

#[inline]
fn quoted(out: &mut Vec<u8>, style: Style, write: impl FnOnce(&mut Vec<u8>)) {
    if style == Style::Json {
        out.push(b'"');
    }
    write(out);
    if style == Style::Json {
        out.push(b'"');
    }
}

/// An address; IPv4 in an IPv6 coat (`::ffff:…`, as dual-stack sockets have it) is written as IPv4.
fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            // `255.255.255.255` and a dot too many.
            let mut text = [0; 16];
            let mut length = 0;
            for octet in address.octets() {
                let [hundreds, tens, ones] = three_digits(u32::from(octet));
                if octet >= 100 {
                    text[length] = hundreds;
                    length += 1;
                }
                if octet >= 10 {
                    text[length] = tens;
                    length += 1;
                }
                text[length] = ones;
                text[length + 1] = b'.';
                length += 2;
            }
            out.extend_from_slice(&text[..length - 1]);
        }
        IpAddr::V6(address) => {
            // Writing to memory does not fail.
            let _ = write!(out, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn record() -> Record<'static> {
        Record {
            time: UnixTime::from_micros(971_186_136_789_000),
            client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 45)),
            method: b"GET",
            target: b"/a/b?c=d",
            path: b"/a/b",
            query: b"c=d",
            host: b"example.com",
            protocol: "HTTP/1.1",
            status: 200,
            bytes_out: 2_326,
            bytes_in: 17,
            duration_micros: 12_345,
            upstream_micros: Some(9_008),
            site: "example.com",
            route: "api",
            upstream: "app",
            endpoint: "10.0.0.1:8080",
            tries: 2,
            retries: "10.0.0.2:8080 connect-failed",
            queued_micros: 0,
            pick: "random",
            session: "",
            retry_refused: "budget",
            hedge: "won",
            reason: "ok",
            request_id: b"01J-x",
            referer: b"http://example.com/",
            user_agent: b"curl/8.0",
        }
    }

    #[track_caller]
    fn check(format: &str, record: &Record<'_>, expected: &str) {
        let mut out = Vec::new();
        Format::parse(format)
            .unwrap()
            .write(&mut out, record, &mut Stamps::default());
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }

    #[test]
    fn combined() {
        check(
            "combined",
            &record(),
            r#"192.0.2.45 - - [10/Oct/2000:13:55:36 +0000] "GET /a/b?c=d HTTP/1.1" 200 2326 "http://example.com/" "curl/8.0""#,
        );
        check(
            "combined",
            &Record::default(),
            r#"0.0.0.0 - - [01/Jan/1970:00:00:00 +0000] "- - -" 000 0 "-" "-""#,
        );
    }

    #[test]
    fn json() {
        check(
            "json",
            &record(),
            concat!(
                r#"{"time_iso":"2000-10-10T13:55:36.789Z","client":"192.0.2.45","method":"GET","host":"example.com","#,
                r#""path":"/a/b","query":"c=d","protocol":"HTTP/1.1","status":200,"reason":"ok","bytes_in":17,"#,
                r#""bytes_out":2326,"duration_ms":12.345,"upstream_ms":9.008,"site":"example.com","route":"api","#,
                r#""upstream":"app","endpoint":"10.0.0.1:8080","tries":2,"retries":"10.0.0.2:8080 connect-failed","#,
                r#""retry_refused":"budget","queued_ms":0.000,"pick":"random","session":null,"hedge":"won","request_id":"01J-x","#,
                r#""referer":"http://example.com/","user_agent":"curl/8.0","time_unix":971186136.789}"#
            ),
        );
        check(
            "json",
            &Record {
                path: b"/\"\n\xff",
                ..Record::default()
            },
            concat!(
                r#"{"time_iso":"1970-01-01T00:00:00.000Z","client":"0.0.0.0","method":null,"host":null,"#,
                r#""path":"/\"\n\ufffd","query":null,"protocol":null,"status":0,"reason":null,"bytes_in":0,"#,
                r#""bytes_out":0,"duration_ms":0.000,"upstream_ms":null,"site":null,"route":null,"#,
                r#""upstream":null,"endpoint":null,"tries":0,"retries":null,"#,
                r#""retry_refused":null,"queued_ms":0.000,"pick":null,"session":null,"hedge":null,"request_id":null,"#,
                r#""referer":null,"user_agent":null,"time_unix":0.000}"#
            ),
        );
    }

    #[test]
    fn templates() {
        check(
            "{{{client}}} {status}{method}x{reason} {upstream_ms}",
            &record(),
            "{192.0.2.45} 200GETxok 9.008",
        );
        check("", &record(), "");
        check("grün {time_unix}", &record(), "grün 971186136.789");
        let all: Vec<_> = PLACEHOLDERS.map(|name| format!("{{{name}}}")).into();
        check(
            &all.join("|"),
            &record(),
            "192.0.2.45|GET|/a/b|c=d|/a/b?c=d|HTTP/1.1|200|2326|17|12.345|9.008|example.com|api|app|10.0.0.1:8080|2|10.0.0.2:8080 connect-failed|budget|0.000|random|-|won|ok|\
             01J-x|http://example.com/|curl/8.0|example.com|2000-10-10T13:55:36.789Z|971186136.789|\
             10/Oct/2000:13:55:36 +0000",
        );
    }

    #[test]
    fn addresses() {
        let coated = IpAddr::V6(Ipv4Addr::new(10, 255, 0, 1).to_ipv6_mapped());
        for (client, expected) in [
            (coated, "10.255.0.1"),
            (IpAddr::V4(Ipv4Addr::BROADCAST), "255.255.255.255"),
            (IpAddr::V4(Ipv4Addr::new(9, 99, 100, 0)), "9.99.100.0"),
            (IpAddr::V6(Ipv6Addr::LOCALHOST), "::1"),
        ] {
            let record = Record { client, ..record() };
            check("{client}", &record, expected);
        }
    }

    #[test]
    fn injection_is_impossible() {
        let evil = b"x\" 200 0\r\n1.2.3.4 - - \x1b]0;\xc2\x9b\xff\\";
        let record = Record {
            method: evil,
            target: evil,
            path: evil,
            query: evil,
            host: evil,
            request_id: evil,
            referer: evil,
            user_agent: evil,
            ..record()
        };
        let all: Vec<_> = PLACEHOLDERS.map(|name| format!("{{{name}}}")).into();
        for format in ["combined", "json", &all.join(" ")] {
            let mut out = Vec::new();
            let format = Format::parse(format).unwrap();
            format.write(&mut out, &record, &mut Stamps::default());
            assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
            let line = &out[..out.len() - 1];
            assert!(line.iter().all(|byte| (0x20..0x7f).contains(byte)));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = |name: &str, at, suggestion| TemplateError::UnknownPlaceholder {
            name: name.into(),
            at,
            suggestion,
        };
        for (template, expected) in [
            ("{clint}", unknown("clint", 1, Some("client"))),
            ("a {duration}", unknown("duration", 3, Some("duration_ms"))),
            ("{zzz}", unknown("zzz", 1, None)),
            ("{}", unknown("", 1, None)),
            ("ab{client", TemplateError::Unclosed { at: 2 }),
            ("{client} }", TemplateError::StrayBrace { at: 9 }),
        ] {
            assert_eq!(Format::parse(template), Err(expected), "{template}");
        }
        assert_eq!(
            Format::parse("{clint}").unwrap_err().to_string(),
            "unknown placeholder `{clint}`; did you mean `{client}`?"
        );
    }

    #[test]
    fn fields_stand_at_their_names() {
        for (number, field) in FIELDS.into_iter().enumerate() {
            assert_eq!(field as usize, number);
        }
    }
}
