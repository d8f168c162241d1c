//! `[overload]`, and how much a route matters then.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, SIZE_64, Section, key};
use crate::settings::{Importance, MemoryMax, Overload};
use crate::tree::Value;

pub(super) static SECTION: Section = Section {
    heading: "[overload]",
    doc: "What is given up when the gateway itself has too much to do, so that it stays up and what matters is served. Pressure \
          is the highest of what is used of `memory_max`, `requests_max` and `delay_max`; the closer it comes to the limit, the \
          more is given up.",
    keys: &[
        key(
            "memory_max",
            Kind::Either(&[
                Kind::Choice(&[("auto", "")]),
                Kind::Size {
                    max: SIZE_64,
                    off: true,
                },
            ]),
            Default::Text("auto"),
            "Memory that the process may take; `\"auto\"` for four fifths of what the machine or its control group has.",
        ),
        key(
            "requests_max",
            Kind::Count {
                min: 1,
                max: 10_000_000,
                off: true,
            },
            Default::Text("off"),
            "Requests and tunnels at once over all workers, each of which has an equal share; more are answered with 503.",
        ),
        key(
            "delay_max",
            Kind::Duration {
                min_ms: 200,
                off: true,
            },
            Default::Text("2s"),
            "How long a worker may take from one look at its sockets to the next.",
        ),
        key(
            "requests_always",
            Kind::Count {
                min: 1,
                max: 10_000_000,
                off: false,
            },
            Default::Integer(64),
            "Requests at once over all workers that are served whatever the pressure, so that a limit which is too low, or memory \
             that does not come back, leaves a slow gateway and not none.",
        ),
        percent(
            "trim_percent",
            80,
            "From this pressure on, connections that have waited half a second for a request are closed; those of a listener also \
             when it is so close to its `connections_max`, until it is not.",
        ),
        percent(
            "shed_background_percent",
            85,
            "From this pressure on, requests of routes with `importance = \"background\"` are answered with 503.",
        ),
        percent(
            "shed_normal_percent",
            92,
            "From this pressure on, only requests of routes with `importance = \"critical\"` are served.",
        ),
        percent(
            "pause_percent",
            97,
            "From this pressure on, new connections wait in the system's queue.",
        ),
        key(
            "retry_after",
            Kind::Duration {
                min_ms: 1000,
                off: false,
            },
            Default::Text("2s"),
            "What clients that are turned away are told to wait, in `Retry-After`; whole seconds.",
        ),
    ],
};

/// How much the requests of a route matter.
pub(super) const IMPORTANCE: Key = key(
    "importance",
    Kind::Choice(&[
        (
            "background",
            "given up first: crawlers, reports, prefetching",
        ),
        ("normal", ""),
        (
            "critical",
            "served for as long as anything is: health checks, logins, payments",
        ),
    ]),
    Default::Text("normal"),
    "Which requests are given up first when there is [too much to do](#overload).",
);

const fn percent(name: &'static str, default: i64, doc: &'static str) -> Key {
    key(
        name,
        Kind::Integer { min: 1, max: 100 },
        Default::Integer(default),
        doc,
    )
}

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Overload {
    let percent =
        |name: &str, report: &mut Report| u32::try_from(fields.integer(name, report)).unwrap_or(0);
    let overload = Overload {
        memory_max: memory_max(&fields, report),
        requests_max: fields.count_or_off("requests_max", report),
        delay_max: fields.duration_or_off("delay_max", report),
        requests_always: fields.count("requests_always", report),
        trim_percent: percent("trim_percent", report),
        shed_background_percent: percent("shed_background_percent", report),
        shed_normal_percent: percent("shed_normal_percent", report),
        pause_percent: percent("pause_percent", report),
        retry_after: fields.duration("retry_after", report),
    };
    in_order(&overload, &fields, report);
    fields.finish();
    overload
}

fn memory_max(fields: &Fields<'_>, report: &mut Report) -> MemoryMax {
    let Some(entry) = fields.entry("memory_max") else {
        return MemoryMax::Auto;
    };
    if matches!(&entry.node.value, Value::Text(text) if text.text == "auto") {
        return MemoryMax::Auto;
    }
    match crate::scalar::size(&entry.node, SIZE_64, true, report) {
        Some(Some(bytes)) => MemoryMax::Bytes(bytes),
        Some(None) => MemoryMax::Off,
        None => MemoryMax::Auto,
    }
}

/// What matters less is to go first; a rung gives up what those below it do, whatever their percentages say.
fn in_order(overload: &Overload, fields: &Fields<'_>, report: &mut Report) {
    let steps = [
        ("trim_percent", overload.trim_percent),
        ("shed_background_percent", overload.shed_background_percent),
        ("shed_normal_percent", overload.shed_normal_percent),
        ("pause_percent", overload.pause_percent),
    ];
    for pair in steps.windows(2) {
        let [(low, less), (high, more)] = [pair[0], pair[1]];
        if less <= more {
            continue;
        }
        let origin = [high, low].map(|name| fields.entry(name).map(|entry| entry.node.origin));
        let origin = origin.into_iter().flatten().next();
        report.push(
            Diagnostic::new(
                Code::StepsOutOfOrder,
                origin.unwrap_or(Origin::NOWHERE),
                format!("`{high}` ({more}) is below `{low}` ({less})"),
            )
            .label("with this, what matters less is not given up first")
            .help(format!("{high} = {less}, or a lower `{low}`")),
        );
    }
}

/// Reads the key of a route.
pub(super) fn importance(fields: &Fields<'_>, report: &mut Report) -> Importance {
    match fields.choice("importance", report) {
        "background" => Importance::Background,
        "critical" => Importance::Critical,
        _ => Importance::Normal,
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::{Importance, MemoryMax};
    use crate::{Format, MemoryFiles, Outcome, parse_str};

    fn load(text: &str) -> Outcome {
        let text = format!(
            "{text}\n[[sites.'*'.routes]]\nrespond = {{ status = 200 }}\nimportance = 'critical'\n"
        );
        parse_str("x.toml", &text, Format::Toml, &MemoryFiles::default())
    }

    #[test]
    fn defaults_and_values() {
        let settings = load("").settings.unwrap();
        assert_eq!(settings.overload.memory_max, MemoryMax::Auto);
        assert_eq!(settings.overload.requests_max, None);
        assert_eq!(settings.sites[0].routes[0].importance, Importance::Critical);
        for (written, read) in [
            ("'1GiB'", MemoryMax::Bytes(1 << 30)),
            ("'off'", MemoryMax::Off),
            ("'auto'", MemoryMax::Auto),
        ] {
            let settings = load(&format!("[overload]\nmemory_max = {written}")).settings;
            assert_eq!(settings.unwrap().overload.memory_max, read);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for (keys, code) in [
            ("trim_percent = 90", "steps-out-of-order"),
            ("pause_percent = 10", "steps-out-of-order"),
            ("shed_normal_percent = 101", "bad-value"),
            ("memory_max = 'all'", "bad-size"),
            ("delay_max = '1ms'", "bad-duration"),
            ("retry_after = '10ms'", "bad-duration"),
            ("requests = 1", "unknown-key"),
        ] {
            let outcome = load(&format!("[overload]\n{keys}"));
            let codes: Vec<_> = (outcome.diagnostics.iter())
                .map(|one| one.code.name())
                .collect();
            assert!(codes.contains(&code), "{keys}: {codes:?}");
        }
    }
}
