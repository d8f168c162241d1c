//! `redirect` and `respond` of a route: answers without a backend.

use super::{header_rules, redirect_target};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, syntax};
use crate::settings::{Redirect, Respond};
use crate::tree::Entry;

static URL_TEMPLATE: Syntax = syntax(
    "URL template",
    "https://example.org{path}{query}",
    r"^(/|https?://|\{scheme\}://)",
);

pub(super) static REDIRECT: Section = Section {
    heading: "redirect = { ... }",
    doc: "An answer that sends the client elsewhere.",
    keys: &[
        key(
            "to",
            Kind::Text(&URL_TEMPLATE),
            Default::Required,
            "Where to: a URL, or a path on the same host. Placeholders: `{scheme}`, `{host}` (without port), `{path}`, `{query}` \
             (with its `?`; empty if there is none); a brace itself is written twice. No path and no query that a client asks \
             for chooses the host that it is sent to: that is the one written here, or with `{host}` the one it asked for.",
        ),
        key(
            "status",
            Kind::Integer { min: 301, max: 308 },
            Default::Integer(308),
            "301, 302, 303, 307 or 308. 307 and 308 keep the method.",
        ),
    ],
};

pub(super) static RESPOND: Section = Section {
    heading: "respond = { ... }",
    doc: "A fixed answer.",
    keys: &[
        key(
            "status",
            Kind::Integer { min: 200, max: 599 },
            Default::Integer(200),
            "Its status.",
        ),
        key(
            "body",
            Kind::Text(&keys::ANY),
            Default::Text(""),
            "Its body; none with 204, 205 and 304.",
        ),
        key(
            "headers",
            Kind::Map(&keys::FIELD_NAME, &Kind::Text(&keys::FIELD_VALUE)),
            Default::Empty,
            "Its fields. A body without `Content-Type` is sent as `text/plain; charset=utf-8`.",
        ),
    ],
};

pub(super) fn redirect(entry: &Entry, report: &mut Report) -> Option<Redirect> {
    let fields = Fields::open(&REDIRECT, &entry.node, entry.key_origin, report);
    let to = fields.require("to", "\"https://example.org{path}{query}\"", report);
    let status = fields.integer("status", report);
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let origin = fields
            .entry("status")
            .map_or(entry.key_origin, |entry| entry.node.origin);
        report.push(
            Diagnostic::new(
                Code::BadValue,
                origin,
                format!("{status} is not the status of a redirect"),
            )
            .label("one of: 301, 302, 303, 307, 308"),
        );
    }
    fields.finish();
    let to = to?;
    let origin = to.node.origin;
    let text = crate::scalar::text(&to.node, report)?;
    Some(Redirect {
        to: redirect_target::read(text, origin, report)?,
        status: u16::try_from(status).unwrap_or(308),
        origin,
    })
}

pub(super) fn respond(entry: &Entry, report: &mut Report) -> Option<Respond> {
    let fields = Fields::open(&RESPOND, &entry.node, entry.key_origin, report);
    let status = fields.integer("status", report);
    let body = fields.text("body", report, |text, _, _| Some(text.to_owned()));
    let headers = header_rules::fixed(fields.entry("headers"), report);
    // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: these have no content.
    if let (204 | 205 | 304, false, Some(written)) = (status, body.is_empty(), fields.entry("body"))
    {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                written.node.origin,
                format!("an answer with status {status} has no body"),
            )
            .label("cannot be sent")
            .help("remove `body`, or answer with another status"),
        );
    }
    fields.finish();
    Some(Respond {
        status: u16::try_from(status).ok()?,
        body,
        headers,
        origin: entry.key_origin,
    })
}
