//! `[upstreams.<name>.retry]`

use super::probe;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, Section, Syntax, key, syntax};
use crate::scalar;
use crate::settings::{Retry, RetryOn};
use std::time::Duration;

static STATUSES: Syntax = syntax(
    "status, class or range",
    "503",
    "^([45]xx|[45][0-9][0-9](-[45][0-9][0-9])?)$",
);

const CAUSES: &[(&str, &str)] = &[
    (
        "connect",
        "no connection came about: nothing was sent, so any request is tried again",
    ),
    (
        "refused",
        "the backend said that it did not look at the request (HTTP/2): any request is tried again",
    ),
    (
        "reset",
        "the connection was closed or reset before any byte of an answer",
    ),
    (
        "timeout",
        "the first byte of the answer did not come in time; see `try` and `first_byte` of `timeouts`",
    ),
];

/// How many statuses or ranges may be named.
const STATUSES_MAX: usize = 32;

/// The largest body that is kept.
const BODY_BYTES_MAX: u64 = 16 << 20;

pub(super) const RETRY: Key = key(
    "retry",
    Kind::Table(&SECTION),
    Default::Empty,
    "When a request is tried on another backend.",
);

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.retry]",
    doc: "When a request is tried on another backend, at most `tries_max` in all. Where a backend may have begun to work on \
          it, only requests that can be repeated are: their method is idempotent (RFC 9110 section 9.2.2) or their route says \
          `idempotent = true`, and what was sent of their body has been kept.",
    keys: &[
        key(
            "on",
            Kind::List(&Kind::Choice(CAUSES)),
            Default::Absent("`[\"connect\", \"refused\", \"reset\"]`"),
            "The failures after which a request is tried again: `connect` (there was no connection), `refused` (HTTP/2: the \
             backend did not look at it), `reset` (closed before any byte of an answer), `timeout` (no first byte in time).",
        ),
        key(
            "statuses",
            Kind::List(&Kind::Either(&[
                Kind::Integer { min: 400, max: 599 },
                Kind::Text(&STATUSES),
            ])),
            Default::Empty,
            "Answers after which a request that can be repeated is tried again, such as `[502, 503]`. When no other backend is \
             left, the client gets the answer that there is.",
        ),
        key(
            "body_bytes_max",
            Kind::Size {
                max: BODY_BYTES_MAX,
                off: true,
            },
            Default::Text("64KiB"),
            "Bytes of a request's body that are kept until its answer begins; with more, or `\"off\"`, a request is not \
             repeated once its body has been begun.",
        ),
        key(
            "budget_percent",
            Kind::Integer { min: 0, max: 100 },
            Default::Integer(20),
            "Tries again for every hundred requests of a worker, after a backend was reached; more are given up, so that \
             retries do not make an outage worse.",
        ),
        key(
            "budget_per_second",
            Kind::Count {
                min: 0,
                max: 100_000,
                off: false,
            },
            Default::Integer(10),
            "Tries again of a worker that are free in a second, whatever the share.",
        ),
        key(
            "retries_max",
            Kind::Count {
                min: 1,
                max: 1_000_000,
                off: true,
            },
            Default::Text("off"),
            "Requests of the upstream that may be at their second or later try at once, hedges included, counted over all workers \
             of the process; others get what there is.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, per_try: Option<Duration>, report: &mut Report) -> Retry {
    let on = causes(&fields, per_try, report);
    let retry = Retry {
        on,
        statuses: statuses(&fields, report),
        body_bytes_max: u32::try_from(fields.size_or_off("body_bytes_max", report).unwrap_or(0))
            .unwrap_or(u32::MAX),
        budget_percent: u8::try_from(fields.integer("budget_percent", report)).unwrap_or(100),
        budget_per_second: fields.count("budget_per_second", report),
        retries_max: fields.count_or_off("retries_max", report),
    };
    fields.finish();
    retry
}

fn causes(fields: &Fields<'_>, per_try: Option<Duration>, report: &mut Report) -> RetryOn {
    let Some(entry) = fields.entry("on") else {
        return RetryOn {
            connect: true,
            refused: true,
            reset: true,
            // Who says how long one try may take wants another one.
            timeout: per_try.is_some(),
        };
    };
    let items = fields.items(&entry.node, report);
    let words: Vec<&str> = items
        .iter()
        .filter_map(|item| scalar::choice(item, CAUSES, report))
        .collect();
    let has = |word| words.contains(&word);
    RetryOn {
        connect: has("connect"),
        refused: has("refused"),
        reset: has("reset"),
        timeout: has("timeout"),
    }
}

fn statuses(fields: &Fields<'_>, report: &mut Report) -> Vec<(u16, u16)> {
    let Some(entry) = fields.entry("statuses") else {
        return Vec::new();
    };
    let items = fields.items(&entry.node, report);
    if items.len() > STATUSES_MAX {
        let message = format!("a list of at most {STATUSES_MAX} statuses belongs here");
        report.push(Diagnostic::new(Code::BadValue, entry.node.origin, message));
    }
    let range = |item| {
        let (first, last) = probe::status_range(item, 400, report)?;
        Some((first, last))
    };
    items.iter().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use crate::sections::tests::load_upstream as load;

    #[test]
    fn what_is_tried_again() {
        let retry = |text: &str| load(text).settings.unwrap().upstreams[0].retry.clone();
        let on = retry("").on;
        assert!(on.connect && on.refused && on.reset && !on.timeout);
        assert!(retry("timeouts = { try = '1s' }").on.timeout);
        let some = retry(
            "retry = { on = ['connect', 'timeout'], statuses = [502, '5xx'], body_bytes_max = 'off' }",
        );
        assert!(some.on.connect && some.on.timeout && !some.on.refused && !some.on.reset);
        assert_eq!(some.statuses, [(502, 502), (500, 599)]);
        assert_eq!((some.body_bytes_max, some.retries_max), (0, None));
        assert_eq!(retry("retry = { retries_max = 7 }").retries_max, Some(7));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (retry, code) in [
            ("on = ['connected']", "bad-value"),
            ("on = 'connect'", "wrong-type"),
            ("statuses = [200]", "bad-value"),
            ("statuses = ['2xx']", "bad-value"),
            ("body_bytes_max = '1GiB'", "bad-size"),
            ("budget_percent = 101", "bad-value"),
            ("retries_max = 0", "bad-value"),
        ] {
            let outcome = load(&format!("[upstreams.app.retry]\n{retry}"));
            let found: Vec<&str> = outcome
                .diagnostics
                .iter()
                .map(|one| one.code.name())
                .collect();
            assert_eq!(found, [code], "{retry}");
        }
    }
}
