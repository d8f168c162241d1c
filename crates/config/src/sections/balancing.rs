//! `balance`, `hash_by` and their companions in `[upstreams.<name>]`.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, Syntax, key, syntax};
use crate::settings::{Balance, FitMin, HashBy, Server};
use crate::words;

pub(super) static HASH_BY_SYNTAX: Syntax = syntax(
    "key of requests",
    "header:X-User",
    "^(client|path|url|(header|cookie|query):.+)$",
);

pub(super) const BALANCE: Key = key(
    "balance",
    Kind::Choice(&[
        ("round-robin", "in turn, smoothly by weight"),
        (
            "least-requests",
            "the one with the fewest running requests relative to its weight",
        ),
        (
            "power-of-two",
            "of two drawn at random, the one with fewer running requests",
        ),
        (
            "peak-ewma",
            "of two drawn at random, the one that is expected to answer sooner",
        ),
        ("random", "drawn at random by weight"),
        (
            "hash-ring",
            "by `hash_by`, on a ring: a backend that joins or leaves moves no keys but its own",
        ),
        (
            "hash-maglev",
            "by `hash_by`, by Maglev's table: shares are more even, a few more keys move",
        ),
    ]),
    Default::Text("least-requests"),
    "How a backend is chosen.",
);

pub(super) const HASH_BY: Key = key(
    "hash_by",
    Kind::Text(&HASH_BY_SYNTAX),
    Default::Text("client"),
    "With `balance = \"hash-ring\"` or `\"hash-maglev\"`: what decides where a request goes. `client` is its address, `path` and \
     `url` are the path without and with the query, and `header:<name>`, `cookie:<name>` and `query:<name>` the value of \
     that name. A request without it goes anywhere.",
);

pub(super) const HASH_LOAD_MAX: Key = key(
    "hash_load_max",
    Kind::Count {
        min: 105,
        max: 10_000,
        off: true,
    },
    Default::Integer(125),
    "With a hash: percent of its share of all running requests that a backend may have. Beyond it requests go to the next \
     backend of their key.",
);

pub(super) const PRIMARY_FIT_MIN: Key = key(
    "primary_fit_min",
    Kind::Integer { min: 0, max: 100 },
    Default::Integer(0),
    "Percent of the weight of the primary servers that must be fit for them to take all requests; when less is, the backups \
     take as large a part of the requests as is missing. 0 means that backups wait until no primary is fit.",
);

pub(super) const ZONE_FIT_MIN: Key = key(
    "zone_fit_min",
    Kind::Integer { min: 0, max: 100 },
    Default::Integer(70),
    "The same for the servers of the own `zone`, before those of other zones.",
);

pub(super) fn balance(fields: &Fields<'_>, report: &mut Report) -> Balance {
    match fields.choice("balance", report) {
        "least-requests" => Balance::LeastRequests,
        "power-of-two" => Balance::PowerOfTwo,
        "peak-ewma" => Balance::PeakEwma,
        "random" => Balance::Random,
        "hash-ring" => Balance::HashRing,
        "hash-maglev" => Balance::HashMaglev,
        _ => Balance::RoundRobin,
    }
}

/// What decides where a request goes and the bound on a backend's load, with a hash.
pub(super) fn hash(
    fields: &Fields<'_>,
    balance: Balance,
    report: &mut Report,
) -> (Option<HashBy>, Option<u32>) {
    let by = fields.text("hash_by", report, hash_by);
    let load_max = fields.count_or_off("hash_load_max", report);
    if matches!(balance, Balance::HashRing | Balance::HashMaglev) {
        return (Some(by), load_max);
    }
    for name in ["hash_by", "hash_load_max"] {
        if let Some(entry) = fields.entry(name) {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    entry.key_origin,
                    format!("`{name}` does nothing without a hash"),
                )
                .label("has no effect")
                .help("remove it, or write balance = \"hash-ring\" or balance = \"hash-maglev\""),
            );
        }
    }
    (None, None)
}

/// Reads what a request is placed by: `client`, `path`, `url`, or `header:`, `cookie:`, `query:` and a name.
pub(super) fn hash_by(text: &str, origin: Origin, report: &mut Report) -> Option<HashBy> {
    let (kind, name) = text.split_once(':').unwrap_or((text, ""));
    match (kind, name) {
        ("client", "") => Some(HashBy::Client),
        ("path", "") => Some(HashBy::Path),
        ("url", "") => Some(HashBy::Url),
        ("header", name) if !name.is_empty() => {
            let name = words::field_name(name, origin, report)?;
            Some(HashBy::Header(name.to_ascii_lowercase()))
        }
        ("cookie", name) if !name.is_empty() => {
            words::token(name, "the name of a cookie", origin, report).map(HashBy::Cookie)
        }
        ("query", name) if !name.is_empty() => Some(HashBy::Query(name.to_owned())),
        _ => {
            const KNOWN: [&str; 6] = ["client", "path", "url", "header", "cookie", "query"];
            let similar = report.similar(kind, KNOWN).filter(|known| *known != kind);
            let known = "\"client\", \"path\", \"url\", or a name such as \"header:X-User\", \"cookie:session\", \"query:id\"";
            let help = match similar {
                Some(word) if !name.is_empty() => format!("did you mean \"{word}:{name}\"?"),
                Some(word) => format!("did you mean \"{word}\"? {known}"),
                None => known.to_owned(),
            };
            let message = format!("{} is nothing that requests are placed by", quoted(text));
            report.push(Diagnostic::new(Code::BadValue, origin, message).help(help));
            None
        }
    }
}

/// How much of the preferred servers must be fit; reports what can have no effect.
pub(super) fn fit_min(fields: &Fields<'_>, servers: &[Server], report: &mut Report) -> FitMin {
    let percent =
        |name, report: &mut Report| u8::try_from(fields.integer(name, report)).unwrap_or(100);
    let fit_min = FitMin {
        primary_percent: percent("primary_fit_min", report),
        zone_percent: percent("zone_fit_min", report),
    };
    if fields.entry("discovery").is_some() {
        // Whoever else there will be may be a backup or a primary.
        return fit_min;
    }
    let backups = servers.iter().filter(|server| server.backup).count();
    if let (Some(server), true) = (servers.first(), backups > 0 && backups == servers.len()) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                server.origin,
                "every server of the upstream is a backup",
            )
            .cause("there is no primary that they would stand in for")
            .help("remove `backup` from those that are to take requests first"),
        );
    }
    if let (Some(entry), 0) = (fields.entry("primary_fit_min"), backups) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                entry.key_origin,
                "`primary_fit_min` does nothing without backups",
            )
            .label("has no effect")
            .help("remove it, or mark servers with backup = true"),
        );
    }
    fit_min
}
