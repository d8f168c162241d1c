//! `[forwarding]`

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, Section, Syntax, key, syntax};
use crate::settings::{Forwarding, ServerHeader};
use crate::words;

static PSEUDONYM: Syntax = syntax("token", "foregate", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");

pub(super) static SECTION: Section = Section {
    heading: "[forwarding]",
    doc: "What backends and clients are told about the way a message took. What a client that is no trusted proxy claims \
          about itself is replaced, never appended to.\n\n\
          Who the client is, a trusted proxy says in `X-Forwarded-For`, or where that names nobody in `Forwarded` (RFC 7239): \
          if both come, `X-Forwarded-For` wins. Either is read from the right, up to the first address that is no trusted \
          proxy's; ports and brackets are understood. An element that hides who it is (`unknown`, `_name`) or that is no \
          address ends the way, and the client is the last address before it, if need be the proxy's own. That the client \
          came by HTTPS is said in `X-Forwarded-Proto`, or where neither that nor `X-Forwarded-For` comes by `proto` in the \
          client's element of `Forwarded`. A proxy in front has to remove the fields that it does not write itself.\n\n\
          Backends find the same client, scheme and host in both forms. `Forwarded` begins with the client: where \
          `X-Forwarded-For` named it, the whole is written anew from `X-Forwarded-*`, and nothing that came in `Forwarded` \
          counts; where `Forwarded` did, its elements are passed on from the client's on, those written anew that are \
          malformed or that `X-Forwarded-Proto` and `-Host` contradict, and `X-Forwarded-*` is told what it lacks. A port that \
          nobody told is the host's or the scheme's. An `X-Forwarded-For` that came is only added to: what stands before the \
          client in it was not believed.",
    keys: &[
        key(
            "trusted_proxies",
            Kind::List(&Kind::Text(&keys::RANGE)),
            Default::Empty,
            "Address ranges of proxies in front, whose `X-Forwarded-*`, `Forwarded`, request id and PROXY protocol are believed.",
        ),
        key(
            "x_forwarded",
            Kind::Boolean,
            Default::Boolean(true),
            "Whether backends are sent `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`; if not, those of trusted proxies go too.",
        ),
        key(
            "forwarded",
            Kind::Boolean,
            Default::Boolean(true),
            "Whether backends are sent `Forwarded` (RFC 7239); if not, that of trusted proxies goes too.",
        ),
        key(
            "via",
            Kind::Either(&[Kind::Choice(&[("off", "no `Via`")]), Kind::Text(&PSEUDONYM)]),
            Default::Text("foregate"),
            "The gateway's pseudonym in `Via` (RFC 9110 section 7.6.3).",
        ),
        key(
            "request_id_header",
            Kind::Either(&[
                Kind::Choice(&[("off", "no request id header")]),
                Kind::Text(&keys::FIELD_NAME),
            ]),
            Default::Text("X-Request-Id"),
            "The header that carries the request id to the backend and to the client. An incoming one is believed only from \
             trusted proxies.",
        ),
        key(
            "server_header",
            Kind::Either(&[
                Kind::Choice(&[
                    ("off", "the backend's is removed"),
                    ("pass", "the backend's is passed on"),
                ]),
                Kind::Text(&keys::FIELD_VALUE),
            ]),
            Default::Text("off"),
            "What clients see in `Server`; any other text is sent as it is.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Forwarding {
    let forwarding = Forwarding {
        trusted_proxies: fields.list("trusted_proxies", report, words::range),
        x_forwarded: fields.boolean("x_forwarded", report),
        forwarded: fields.boolean("forwarded", report),
        via: fields.text("via", report, |text, origin, report| match text {
            "off" => Some(None),
            text => words::token(text, "a pseudonym", origin, report).map(Some),
        }),
        request_id_header: fields.text("request_id_header", report, |text, origin, report| {
            match text {
                "off" => Some(None),
                text => words::told_field_name(text, origin, report).map(Some),
            }
        }),
        server_header: fields.text("server_header", report, |text, origin, report| match text {
            "off" => Some(ServerHeader::Remove),
            "pass" => Some(ServerHeader::Pass),
            text => words::field_value(text, origin, report).map(ServerHeader::Fixed),
        }),
    };
    fields.finish();
    forwarding
}
