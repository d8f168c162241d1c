//! `[upstreams.<name>.sticky]`

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, Syntax, key, secret_syntax, syntax};
use crate::settings::{CookieSecure, SameSite, Secret, Sticky};
use crate::tree::Entry;
use crate::{paths, words};

static COOKIE: Syntax = syntax(
    "name of a cookie",
    "app-session",
    "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$",
);
static COOKIE_PATH: Syntax = syntax("path", "/shop", "^/");
static SECRET: Syntax = secret_syntax("secret", "kA0vJ3mLq8Zt1xYc5uWf", "");

/// Secrets of an upstream: one in use, and older ones.
const SECRETS_MAX: usize = 8;
/// Characters of a secret.
const SECRET_BYTES_MIN: usize = 16;

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.sticky]",
    doc: "Sessions that stay with their backend: an answer sets a cookie, and requests that bring it go to the same backend \
          while it is fit. The cookie's value is sealed and tells nothing about the backend. `{}` takes all defaults.",
    keys: &[
        key(
            "cookie",
            Kind::Text(&COOKIE),
            Default::Text("foregate-session"),
            "The cookie's name.",
        ),
        key(
            "lifetime",
            Kind::Duration {
                min_ms: 1000,
                off: true,
            },
            Default::Text("1d"),
            "How long a session stays with its backend without a further request in the second half of that time; the cookie's \
             `Max-Age`. `\"off\"` for as long as the browser runs.",
        ),
        key(
            "path",
            Kind::Text(&COOKIE_PATH),
            Default::Text("/"),
            "The cookie's `Path`.",
        ),
        key(
            "secure",
            Kind::Choice(&[
                (
                    "auto",
                    "if the client came by TLS when it got it, to a trusted proxy in front if there is one",
                ),
                ("on", "always"),
                ("off", "never"),
            ]),
            Default::Text("auto"),
            "The cookie's `Secure`: whether it is sent over TLS only.",
        ),
        key(
            "http_only",
            Kind::Boolean,
            Default::Boolean(true),
            "The cookie's `HttpOnly`: whether scripts of the page cannot read it.",
        ),
        key(
            "same_site",
            Kind::Choice(&[
                (
                    "lax",
                    "requests from other sites carry it only where the user follows a link",
                ),
                ("strict", "requests from other sites never carry it"),
                (
                    "none",
                    "all requests carry it; browsers ask for `Secure` with it",
                ),
            ]),
            Default::Text("lax"),
            "The cookie's `SameSite`.",
        ),
        key(
            "secrets",
            Kind::List(&Kind::Text(&SECRET)),
            Default::Absent("a key of the process' own, which lasts through reloads"),
            "What cookies are sealed with, at least 16 characters each: the first seals, the others still open older cookies. \
             `${FILE:sticky.key}` reads one from a file. Gateways beside each other need the same; without it sessions are placed anew after a restart.",
        ),
    ],
};

/// Reads the table, if it is written.
pub(super) fn read(entry: &Entry, report: &mut Report) -> Option<Sticky> {
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let cookie = fields.text("cookie", report, |text, origin, report| {
        words::token(text, "the name of a cookie", origin, report)
    });
    let sticky = Sticky {
        cookie,
        lifetime: fields.duration_or_off("lifetime", report),
        path: fields.text("path", report, path),
        secure: match fields.choice("secure", report) {
            "on" => CookieSecure::On,
            "off" => CookieSecure::Off,
            _ => CookieSecure::Auto,
        },
        http_only: fields.boolean("http_only", report),
        same_site: match fields.choice("same_site", report) {
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => SameSite::Lax,
        },
        secrets: fields.list("secrets", report, secret),
    };
    if let (SameSite::None, CookieSecure::Off) = (sticky.same_site, sticky.secure) {
        let origin = fields
            .entry("same_site")
            .map_or(fields.origin, |entry| entry.node.origin);
        let message = "browsers refuse a cookie with `SameSite=None` that is not `Secure`";
        let diagnostic = Diagnostic::new(Code::ConflictingKeys, origin, message);
        report.push(diagnostic.help("write secure = \"on\", or same_site = \"lax\""));
    }
    if let (Some(entry), true) = (fields.entry("secrets"), sticky.secrets.len() > SECRETS_MAX) {
        let message = format!("more than {SECRETS_MAX} secrets");
        report.push(Diagnostic::new(Code::BadValue, entry.node.origin, message));
    }
    fields.finish();
    Some(sticky)
}

/// A path that fits into an attribute of a cookie (RFC 6265 section 4.1.1).
fn path(text: &str, origin: Origin, report: &mut Report) -> Option<String> {
    let path = paths::path(text, origin, report)?;
    if path.contains(';') {
        let message = "a `;` would end the cookie's path";
        report.push(Diagnostic::new(Code::BadPath, origin, message));
        return None;
    }
    Some(path)
}

fn secret(text: &str, origin: Origin, report: &mut Report) -> Option<Secret> {
    if text.len() < SECRET_BYTES_MIN {
        report.push(
            Diagnostic::new(Code::BadValue, origin, "the secret is too short")
                .cause(format!(
                    "it could be guessed: it needs {SECRET_BYTES_MIN} characters"
                ))
                .help("for example the output of: openssl rand -base64 32"),
        );
        return None;
    }
    Some(Secret::new(text))
}
