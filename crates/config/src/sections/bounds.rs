//! `slow_start`, `panic_threshold`, `requests_max`, `upstream_requests_max`, `queue`, `adaptive_concurrency` and the circuits of
//! `[upstreams.<name>]`.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Key, Kind, Section, key};
use crate::settings::{Adaptive, Bounds, Circuit, Queue};

const REQUESTS: Kind = Kind::Count {
    min: 1,
    max: 1_000_000,
    off: false,
};
const SPAN: Kind = Kind::Duration {
    min_ms: 1,
    off: false,
};

pub(super) const SLOW_START: Key = key(
    "slow_start",
    Kind::Duration {
        min_ms: 1,
        off: true,
    },
    Default::Text("off"),
    "For how long a backend that joins others, or comes back to them, takes less than its share: a tenth at first, and evenly \
     more until it takes all of it. Backends that begin together with the gateway do not.",
);

pub(super) const PANIC_THRESHOLD: Key = key(
    "panic_threshold",
    Kind::Integer { min: 0, max: 100 },
    Default::Integer(0),
    "When less than so many percent of the backends, by weight, are healthy, all of them are used, so that the few do not \
     drown. 0 means: when none is.",
);

pub(super) const REQUESTS_MAX: Key = key(
    "requests_max",
    Kind::Count {
        min: 1,
        max: 1_000_000,
        off: true,
    },
    Default::Text("off"),
    "Requests that a backend works on at once, counted over all workers of the process. Others are asked first; when all are \
     full, requests wait in the `queue`.",
);

pub(super) const UPSTREAM_REQUESTS_MAX: Key = key(
    "upstream_requests_max",
    Kind::Count {
        min: 1,
        max: 1_000_000,
        off: true,
    },
    Default::Text("off"),
    "Requests that the upstream as a whole works on at once, counted over all workers of the process; one with retries or a \
     hedge counts once. When there are as many, requests wait in the `queue`.",
);

pub(super) const QUEUE: Key = key(
    "queue",
    Kind::Table(&QUEUE_SECTION),
    Default::Empty,
    "Where requests wait while every backend has as many as it may have by `requests_max` or `adaptive_concurrency`, or the \
     upstream by `upstream_requests_max`.",
);

pub(super) const ADAPTIVE: Key = key(
    "adaptive_concurrency",
    Kind::Table(&ADAPTIVE_SECTION),
    Default::Absent("there is no such limit"),
    "A limit of requests at once for each backend that is found from how long its answers take. `{}` takes all defaults.",
);

pub(super) const CIRCUIT: Key = key(
    "circuit",
    Kind::Table(&CIRCUIT_SECTION),
    Default::Absent("there is no circuit breaker"),
    "A circuit breaker for each backend. `{}` takes all defaults.",
);

pub(super) const UPSTREAM_CIRCUIT: Key = key(
    "upstream_circuit",
    Kind::Table(&CIRCUIT_SECTION),
    Default::Absent("there is no circuit breaker"),
    "A circuit breaker for the upstream as a whole, by what requests come to after all their tries. `{}` takes all defaults.",
);

pub(super) static QUEUE_SECTION: Section = Section {
    heading: "[upstreams.<name>.queue]",
    doc: "Requests that wait for a place at a backend, first come, first served, over all workers. Who leaves gives its place up.",
    keys: &[
        key(
            "length_max",
            Kind::Count {
                min: 0,
                max: 1_000_000,
                off: false,
            },
            Default::Integer(1024),
            "Requests that may wait; more are answered with 503 (`queue-full`). With 0 nobody waits.",
        ),
        key(
            "time_max",
            SPAN,
            Default::Text("5s"),
            "How long a request may wait; then it is answered with 503 (`queue-timeout`).",
        ),
    ],
};

pub(super) static ADAPTIVE_SECTION: Section = Section {
    heading: "[upstreams.<name>.adaptive_concurrency]",
    doc: "While a backend's answers begin as soon as they usually do, it may have more requests at once; when they begin later, \
          less. A limit that is not made use of stays what it is.",
    keys: &[
        key(
            "initial",
            REQUESTS,
            Default::Integer(20),
            "The limit to begin with.",
        ),
        key("min", REQUESTS, Default::Integer(5), "It is never lower."),
        key(
            "max",
            REQUESTS,
            Default::Integer(1000),
            "It is never higher.",
        ),
        key(
            "tolerance",
            Kind::Count {
                min: 100,
                max: 1_000,
                off: false,
            },
            Default::Integer(150),
            "Percent of the usual time that answers may take before the limit shrinks.",
        ),
    ],
};

pub(super) static CIRCUIT_SECTION: Section = Section {
    heading: "[upstreams.<name>.circuit]",
    doc: "A circuit breaker, of a backend (`circuit`) or of the upstream as a whole (`upstream_circuit`). When too large a share \
          of a window fails it opens: nothing is sent. Then a few requests try whether all is well again, and close it or not.",
    keys: &[
        key(
            "failures",
            Kind::Integer { min: 1, max: 100 },
            Default::Integer(50),
            "Percent of failures in a window that opens it: connect errors, timeouts, broken answers, 502, 503 and 504.",
        ),
        key(
            "window",
            SPAN,
            Default::Text("10s"),
            "Over how long they are counted.",
        ),
        key(
            "requests_min",
            REQUESTS,
            Default::Integer(20),
            "Requests in a window without which nothing follows from it.",
        ),
        key(
            "open",
            SPAN,
            Default::Text("5s"),
            "How long nothing is sent.",
        ),
        key(
            "trials",
            Kind::Count {
                min: 1,
                max: 1_000,
                off: false,
            },
            Default::Integer(3),
            "Requests at a time that try whether all is well again; so many good ones close it, one bad one opens it again.",
        ),
    ],
};

pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> Bounds {
    let present = |name: &str| fields.entry(name).is_some();
    let table = fields.table("adaptive_concurrency", report);
    let adaptive = adaptive(table, report);
    let table = fields.table("queue", report);
    let queue = queue(table, report);
    let table = fields.table("circuit", report);
    let own = circuit(table, report);
    let table = fields.table("upstream_circuit", report);
    let whole = circuit(table, report);
    let bounds = Bounds {
        slow_start: fields.duration_or_off("slow_start", report),
        panic_threshold_percent: u8::try_from(fields.integer("panic_threshold", report))
            .unwrap_or(100),
        requests_max: fields.count_or_off("requests_max", report),
        upstream_requests_max: fields.count_or_off("upstream_requests_max", report),
        adaptive: present("adaptive_concurrency").then_some(adaptive),
        queue,
        circuit: present("circuit").then_some(own),
        upstream_circuit: present("upstream_circuit").then_some(whole),
    };
    let limit = bounds.requests_max.or(bounds.upstream_requests_max);
    if let (Some(entry), None, None) = (fields.entry("queue"), limit, bounds.adaptive) {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                entry.key_origin,
                "`queue` does nothing while nothing limits how many requests a backend or the upstream has",
            )
            .label("has no effect")
            .help("remove it, or write requests_max = 100, or adaptive_concurrency = {}"),
        );
    }
    bounds
}

fn queue(fields: Fields<'_>, report: &mut Report) -> Queue {
    let queue = Queue {
        length_max: fields.count("length_max", report),
        time_max: fields.duration("time_max", report),
    };
    fields.finish();
    queue
}

fn adaptive(fields: Fields<'_>, report: &mut Report) -> Adaptive {
    let adaptive = Adaptive {
        initial: fields.count("initial", report),
        min: fields.count("min", report),
        max: fields.count("max", report),
        tolerance_percent: fields.count("tolerance", report),
    };
    let is_ordered = adaptive.min <= adaptive.initial && adaptive.initial <= adaptive.max;
    if !is_ordered {
        let written = ["initial", "min", "max"];
        let at = written.iter().find_map(|name| fields.entry(name));
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                at.map_or(fields.origin, |entry| entry.node.origin),
                format!(
                    "a limit that begins with {} is not between {} and {}",
                    adaptive.initial, adaptive.min, adaptive.max
                ),
            )
            .help("`min` is at most `initial`, and `initial` at most `max`"),
        );
    }
    fields.finish();
    adaptive
}

fn circuit(fields: Fields<'_>, report: &mut Report) -> Circuit {
    let circuit = Circuit {
        failures_percent: u8::try_from(fields.integer("failures", report)).unwrap_or(100),
        window: fields.duration("window", report),
        requests_min: fields.count("requests_min", report),
        open: fields.duration("open", report),
        trials: fields.count("trials", report),
    };
    fields.finish();
    circuit
}

#[cfg(test)]
mod tests {
    use crate::sections::tests::load_upstream as load;

    #[test]
    fn what_is_not_written_bounds_nothing() {
        let bounds = load("").settings.unwrap().upstreams[0].bounds.clone();
        assert_eq!((bounds.slow_start, bounds.requests_max), (None, None));
        assert_eq!(bounds.upstream_requests_max, None);
        let whole = load("upstream_requests_max = 9\nqueue = {}")
            .settings
            .unwrap();
        assert_eq!(whole.upstreams[0].bounds.upstream_requests_max, Some(9));
        assert_eq!((bounds.circuit, bounds.upstream_circuit), (None, None));
        assert_eq!((bounds.adaptive, bounds.panic_threshold_percent), (None, 0));
    }

    #[test]
    fn what_is_written_is_read() {
        let text = "slow_start = '30s'\nrequests_max = 7\nqueue = { length_max = 3, time_max = '1s' }\n\
                    circuit = {}\nadaptive_concurrency = { max = 40 }\npanic_threshold = 30";
        let bounds = load(text).settings.unwrap().upstreams[0].bounds.clone();
        assert_eq!(bounds.slow_start.unwrap().as_secs(), 30);
        assert_eq!((bounds.requests_max, bounds.queue.length_max), (Some(7), 3));
        assert_eq!(bounds.circuit.unwrap().failures_percent, 50);
        assert_eq!(bounds.upstream_circuit, None);
        assert_eq!(bounds.adaptive.unwrap().max, 40);
        assert_eq!(bounds.panic_threshold_percent, 30);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (text, code) in [
            ("queue = { length_max = 3 }", "conflicting-keys"),
            ("requests_max = 0", "bad-value"),
            ("adaptive_concurrency = { min = 30 }", "conflicting-keys"),
            ("circuit = { failures = 0 }", "bad-value"),
            ("panic_threshold = 101", "bad-value"),
            ("slow_start = 30", "wrong-type"),
        ] {
            let outcome = load(text);
            let found: Vec<&str> = outcome
                .diagnostics
                .iter()
                .map(|one| one.code.name())
                .collect();
            assert_eq!(found, [code], "{text}");
        }
    }
}
