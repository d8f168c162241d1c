//! `[upstreams.<name>.ejection]`

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, key};
use crate::settings::Ejection;
use crate::tree::Entry;

const ROW: Kind = Kind::Count {
    min: 1,
    max: 1_000_000,
    off: true,
};
const SPAN: Kind = Kind::Duration {
    min_ms: 1,
    off: false,
};

pub(super) static SECTION: Section = Section {
    heading: "[upstreams.<name>.ejection]",
    doc: "A backend that fails where its peers do not is left out for a while.",
    keys: &[
        key(
            "consecutive_failures",
            ROW,
            Default::Integer(5),
            "Connect errors, timeouts and broken answers in a row; `\"off\"` for never.",
        ),
        key(
            "consecutive_gateway_errors",
            ROW,
            Default::Integer(5),
            "Answers with 502, 503 or 504 in a row, by which a backend says itself that it is unable; `\"off\"` for never.",
        ),
        key(
            "base_time",
            SPAN,
            Default::Text("10s"),
            "How long the first ejection lasts; every further one lasts twice as long.",
        ),
        key(
            "time_max",
            SPAN,
            Default::Text("5m"),
            "The longest ejection.",
        ),
        key(
            "share_max",
            Kind::Integer { min: 0, max: 100 },
            Default::Integer(50),
            "Percent of the backends that may be left out at once.",
        ),
        key(
            "failures_above",
            Kind::Count {
                min: 1,
                max: 100,
                off: true,
            },
            Default::Text("off"),
            "Leaves out a backend whose share of failures within an `interval`, in percent, lies by more than so many points \
             above the median of its peers. Needs three backends with `requests_min` requests.",
        ),
        key(
            "latency_above",
            Kind::Count {
                min: 110,
                max: 10_000,
                off: true,
            },
            Default::Text("off"),
            "Leaves out a backend whose mean time to the first byte within an `interval` is more than so many percent of the \
             median of its peers; 300 is three times as long.",
        ),
        key(
            "latency_floor",
            SPAN,
            Default::Text("50ms"),
            "A mean time to the first byte that is never too long.",
        ),
        key(
            "interval",
            Kind::Duration {
                min_ms: 100,
                off: false,
            },
            Default::Text("10s"),
            "From one comparison of peers to the next.",
        ),
        key(
            "requests_min",
            Kind::Count {
                min: 1,
                max: 1_000_000,
                off: false,
            },
            Default::Integer(50),
            "Requests within an interval without which a backend is neither judged nor a measure for others.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Ejection {
    let ejection = Ejection {
        consecutive_failures: fields.count_or_off("consecutive_failures", report),
        consecutive_gateway_errors: fields.count_or_off("consecutive_gateway_errors", report),
        base_time: fields.duration("base_time", report),
        time_max: fields.duration("time_max", report),
        share_max_percent: u8::try_from(fields.integer("share_max", report)).unwrap_or(100),
        failures_above: fields.count_or_off("failures_above", report),
        latency_above_percent: fields.count_or_off("latency_above", report),
        latency_floor: fields.duration("latency_floor", report),
        interval: fields.duration("interval", report),
        requests_min: fields.count("requests_min", report),
    };
    let origin = |name| fields.entry(name).map(|entry: &Entry| entry.node.origin);
    if ejection.time_max < ejection.base_time {
        let diagnostic = Diagnostic::new(
            Code::ConflictingKeys,
            origin("time_max")
                .or(origin("base_time"))
                .unwrap_or(fields.origin),
            "the longest ejection is shorter than the first one",
        );
        report.push(diagnostic.help("`time_max` must be at least `base_time`"));
    }
    fields.finish();
    ejection
}
