//! How a request is sent to a backend: `timeouts`, `host`, `strip_prefix`, `replace_path`.

use super::matching::literal_prefix;
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::{Fields, wrong_type};
use crate::keys::{self, Default, Key, Kind, Section, Syntax, key, syntax};
use crate::paths;
use crate::settings::{HostHeader, PathMatch, Rewrite, Timeouts};
use crate::tree::{Entry, Value};
use crate::{hosts, words};

const CONNECT: &str = "Until a connection to the backend stands.";
const FIRST_BYTE: &str = "From the end of the request to the answer's complete head. Interim answers (1xx) do not end it.";
const BETWEEN_BYTES: &str =
    "Between two reads of the answer; also without progress in sending the request.";
const TRY: &str = "One try, up to the first byte of its answer: when it is over, the request is tried elsewhere if it can be \
                   repeated. A try ends at `first_byte`, too, and does not run while the client is still sending its body.";
const REQUEST: &str = "The whole exchange, retries included.";

const SOME: Kind = Kind::Duration {
    min_ms: 1,
    off: false,
};
const OR_OFF: Kind = Kind::Duration {
    min_ms: 1,
    off: true,
};
const FROM_UPSTREAM: Default = Default::Absent("the upstream's");

pub(super) static TIMEOUTS: Section = Section {
    heading: "[upstreams.<name>.timeouts]",
    doc: "How long backends may take, where a route says nothing. A timeout before the first byte of the answer is answered \
          with 504.",
    keys: &[
        key("connect", SOME, Default::Text("5s"), CONNECT),
        key("first_byte", OR_OFF, Default::Text("60s"), FIRST_BYTE),
        key("between_bytes", OR_OFF, Default::Text("60s"), BETWEEN_BYTES),
        key("request", OR_OFF, Default::Text("off"), REQUEST),
        key("try", OR_OFF, Default::Text("off"), TRY),
    ],
};

pub(super) static ROUTE_TIMEOUTS: Section = Section {
    heading: "[sites.\"<host>\".routes.timeouts]",
    doc: "How long the backend may take for this route.",
    keys: &[
        key("connect", SOME, FROM_UPSTREAM, CONNECT),
        key("first_byte", OR_OFF, FROM_UPSTREAM, FIRST_BYTE),
        key("between_bytes", OR_OFF, FROM_UPSTREAM, BETWEEN_BYTES),
        key("request", OR_OFF, FROM_UPSTREAM, REQUEST),
        key("try", OR_OFF, FROM_UPSTREAM, TRY),
    ],
};

pub(super) fn timeouts(fields: Fields<'_>, report: &mut Report) -> Timeouts {
    let timeouts = Timeouts {
        connect: fields.duration("connect", report),
        first_byte: fields.duration_or_off("first_byte", report),
        between_bytes: fields.duration_or_off("between_bytes", report),
        request: fields.duration_or_off("request", report),
        per_try: fields.duration_or_off("try", report),
    };
    fields.finish();
    timeouts
}

/// Timeouts of a route: what is written, else the upstream's.
pub(super) fn route_timeouts(
    entry: Option<&Entry>,
    of_upstream: Timeouts,
    report: &mut Report,
) -> Timeouts {
    let Some(entry) = entry else {
        return of_upstream;
    };
    let fields = Fields::open(&ROUTE_TIMEOUTS, &entry.node, entry.key_origin, report);
    let mut given = |name, inherited| match fields.entry(name) {
        Some(entry) => {
            crate::scalar::duration(&entry.node, 1, name != "connect", report).unwrap_or(inherited)
        }
        None => inherited,
    };
    let timeouts = Timeouts {
        connect: given("connect", Some(of_upstream.connect)).unwrap_or(of_upstream.connect),
        first_byte: given("first_byte", of_upstream.first_byte),
        between_bytes: given("between_bytes", of_upstream.between_bytes),
        request: given("request", of_upstream.request),
        per_try: given("try", of_upstream.per_try),
    };
    fields.finish();
    timeouts
}

static HOST: Syntax = syntax("host, with or without port", "app.internal:8080", "");

const HOST_KIND: Kind = Kind::Either(&[
    Kind::Choice(&[
        ("pass", "the host that the client asked for"),
        ("upstream", "the backend's address as written in `servers`"),
    ]),
    Kind::Text(&HOST),
]);

pub(super) const HOST_OF_UPSTREAM: Key = key(
    "host",
    HOST_KIND,
    Default::Text("pass"),
    "The `Host` that backends see, where a route says nothing.",
);

pub(super) const HOST_OF_ROUTE: Key = key(
    "host",
    HOST_KIND,
    FROM_UPSTREAM,
    "The `Host` that the backend sees.",
);

/// Reads a `host`: `pass`, `upstream`, or a host with or without port.
pub(super) fn host(text: &str, origin: Origin, report: &mut Report) -> Option<HostHeader> {
    match text {
        "pass" => Some(HostHeader::Pass),
        "upstream" => Some(HostHeader::Upstream),
        host if hosts::is_host_with_optional_port(host) => {
            Some(HostHeader::Fixed(host.to_ascii_lowercase()))
        }
        other => {
            report.push(
                Diagnostic::new(Code::BadHost, origin, format!("{} is not a host", quoted(other)))
                    .help("\"pass\", \"upstream\", or a host such as \"app.internal\" or \"app.internal:8080\""),
            );
            None
        }
    }
}

static REPLACEMENT: Syntax = syntax("replacement", "/v2/", "");

pub(super) static REPLACE_PATH: Section = Section {
    heading: "replace_path = { ... }",
    doc: "Rewrites the path by a regular expression. A plain text, `replace_path = \"/fixed\"`, replaces the whole path.",
    keys: &[
        key(
            "regex",
            Kind::Text(&keys::REGEX),
            Default::Required,
            "What is searched for in the path; the first match is replaced. What comes of it begins with one `/`, however \
             many were put together.",
        ),
        key(
            "with",
            Kind::Text(&REPLACEMENT),
            Default::Required,
            "What it becomes: `$1`, `${1}` and `$name` are groups of the expression, `$$` is a dollar sign.",
        ),
    ],
};

/// Reads `strip_prefix` and `replace_path`, of which at most one may stand.
pub(super) fn rewrite(
    strip_prefix: Option<&Entry>,
    replace_path: Option<&Entry>,
    path: &PathMatch,
    path_origin: Origin,
    report: &mut Report,
) -> Rewrite {
    if let (Some(strip), Some(replace)) = (strip_prefix, replace_path) {
        report.push(
            Diagnostic::new(Code::ConflictingKeys, replace.key_origin, "`strip_prefix` and `replace_path` cannot stand together")
                .label("which of the two goes first?")
                .related(strip.key_origin, "`strip_prefix` is here")
                .help("do both with one regular expression: replace_path = { regex = \"^/old(/.*)$\", with = \"$1\" }"),
        );
    }
    let stripped = strip_prefix.and_then(|entry| strip(entry, path, path_origin, report));
    let replaced = replace_path.and_then(|entry| replace(entry, report));
    stripped.or(replaced).unwrap_or(Rewrite::Keep)
}

fn strip(
    entry: &Entry,
    path: &PathMatch,
    path_origin: Origin,
    report: &mut Report,
) -> Option<Rewrite> {
    let origin = entry.node.origin;
    let text = crate::scalar::text(&entry.node, report)?;
    let written = paths::rewritten(text, origin, report)?;
    let prefix = written.trim_end_matches('/');
    if prefix.is_empty() {
        report.push(
            Diagnostic::new(Code::BadPath, origin, "this removes nothing")
                .help("remove `strip_prefix`"),
        );
        return None;
    }
    let literal = literal_prefix(path);
    let has_prefix = match path {
        PathMatch::Exact(_) | PathMatch::Prefix(_) => literal
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        // Whether a pattern's paths have the prefix can be told only as far as its literal beginning reaches.
        PathMatch::Glob(_) | PathMatch::Regex(_) => {
            let length = literal.len().min(prefix.len());
            literal.as_bytes()[..length] == prefix.as_bytes()[..length]
        }
    };
    if !has_prefix {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                origin,
                format!("the route's paths do not begin with {}", quoted(prefix)),
            )
            .label("never removed")
            .related(path_origin, "the paths that the route takes"),
        );
    }
    Some(Rewrite::StripPrefix(prefix.to_owned()))
}

fn replace(entry: &Entry, report: &mut Report) -> Option<Rewrite> {
    match &entry.node.value {
        Value::Text(text) if !text.is_missing => {
            paths::rewritten(&text.text, entry.node.origin, report).map(Rewrite::Replace)
        }
        Value::Table(_) => {
            let fields = Fields::open(&REPLACE_PATH, &entry.node, entry.key_origin, report);
            let regex = fields.require("regex", "\"^/v1/(.*)$\"", report);
            let with = fields.require("with", "\"/$1\"", report);
            fields.finish();
            let pattern = regex.and_then(|regex| {
                let text = crate::scalar::text(&regex.node, report)?;
                words::regex(text, regex.node.origin, report)
            });
            let with = with?;
            let text = crate::scalar::text(&with.node, report)?;
            paths::replacement(text, with.node.origin, report);
            let pattern = pattern?;
            words::replacement(text, &pattern, with.node.origin, report);
            Some(Rewrite::ReplaceRegex {
                regex: pattern,
                with: text.to_owned(),
            })
        }
        _ => {
            wrong_type(
                &entry.node,
                "a text (the new path), or a table with `regex` and `with`,",
                report,
            );
            None
        }
    }
}
