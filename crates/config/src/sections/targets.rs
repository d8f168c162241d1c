//! Where a route sends its requests: `upstream` with `subset`, or `split` among several; and `mirror`.

use super::balancing;
use super::proxying;
use super::servers;
use super::sites::Surroundings;
use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Key, Kind, SIZE_32, Section, key};
use crate::settings::{HashBy, Mirror, Target, Upstream};
use crate::tree::Entry;

const LABELS: Kind = Kind::Map(&keys::NAME, &Kind::Text(&keys::LABEL));

pub(super) const SUBSET: Key = key(
    "subset",
    LABELS,
    Default::Absent("every server of the upstream"),
    "Labels such as `{ version = \"v2\" }` that a server must have to take the route's requests.",
);

pub(super) const SPLIT_BY: Key = key(
    "split_by",
    Kind::Text(&balancing::HASH_BY_SYNTAX),
    Default::Absent("drawn at random for each request"),
    "With `split`: what decides which target a request goes to, in the forms of an upstream's `hash_by`, so that the same \
     client stays with the same target. Requests without it are drawn.",
);

pub(super) const MIRROR: Key = key(
    "mirror",
    Kind::Table(&MIRROR_SECTION),
    Default::Absent("nothing is mirrored"),
    "Sends copies of requests to another upstream, whose answers are thrown away. Nothing waits for them.",
);

pub(super) static SPLIT_SECTION: Section = Section {
    heading: "split = [{ ... }]",
    doc: "One of several targets of a route.",
    keys: &[
        key(
            "upstream",
            Kind::Text(&keys::NAME),
            Default::Required,
            "The upstream's name.",
        ),
        key(
            "weight",
            Kind::Count {
                min: 0,
                max: 65_535,
                off: false,
            },
            Default::Integer(1),
            "Its share of the requests relative to the other targets'; 0 for none.",
        ),
        SUBSET,
    ],
};

pub(super) static MIRROR_SECTION: Section = Section {
    heading: "mirror = { ... }",
    doc: "Copies of requests for another upstream. Upgrades are not copied, and neither is a request whose body is too large \
          or does not come whole, or for which too many copies are under way; `foregate_mirrored_total` counts each outcome. A copy has a minute where its upstream sets no `request` timeout.",
    keys: &[
        key(
            "upstream",
            Kind::Text(&keys::NAME),
            Default::Required,
            "The upstream that gets the copies; not the route's own.",
        ),
        key(
            "share",
            Kind::Integer { min: 1, max: 100 },
            Default::Integer(100),
            "Percent of the requests that are copied.",
        ),
        key(
            "body_bytes_max",
            Kind::Size {
                max: SIZE_32,
                off: false,
            },
            Default::Text("64KiB"),
            "Bytes of a body that is copied. Requests with a larger one are not.",
        ),
        key(
            "requests_max",
            Kind::Count {
                min: 1,
                max: 100_000,
                off: false,
            },
            Default::Integer(100),
            "Copies of a worker that may be under way. Beyond it requests are not copied.",
        ),
    ],
};

/// One target: the upstream, or the labels of a subset of it.
pub(super) fn target(
    upstream: &Upstream,
    weight: u32,
    origin: Origin,
    subset: Option<&Entry>,
    report: &mut Report,
) -> Target {
    let mut labels = Vec::new();
    if let Some(entry) = subset {
        labels = servers::labels(crate::fields::entries_of(&entry.node, report), report);
        report_empty(upstream, &labels, entry, report);
    }
    Target {
        upstream: upstream.name.clone(),
        weight,
        subset: labels,
        host: upstream.host.clone(),
        timeouts: upstream.timeouts,
        idempotent: false,
        origin,
    }
}

fn report_empty(
    upstream: &Upstream,
    labels: &[(String, String)],
    entry: &Entry,
    report: &mut Report,
) {
    let belongs = |labels: &[(String, String)]| {
        let mut servers = upstream.servers.iter();
        servers.any(|server| labels.iter().all(|label| server.labels.contains(label)))
    };
    // An upstream without servers is reported as such; who else there will be may have any labels.
    if upstream.servers.is_empty() || upstream.discovery.is_some() || belongs(labels) {
        return;
    }
    let missing = labels
        .iter()
        .find(|label| !belongs(std::slice::from_ref(*label)));
    let cause = match missing {
        Some((name, value)) => format!("none has the label {name} = \"{value}\""),
        None => "some have one of the labels, none has all".to_owned(),
    };
    report.push(
        Diagnostic::new(
            Code::EmptySubset,
            entry.node.origin,
            format!("no server of the upstream `{}` belongs to this subset", upstream.name),
        )
        .label("nobody")
        .cause(cause)
        .help("for example: servers = [{ address = \"10.0.0.1:8080\", labels = { version = \"v2\" } }]"),
    );
}

/// The targets of a `split`.
pub(super) fn split(
    fields: &Fields<'_>,
    entry: &Entry,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Vec<Target> {
    let items = fields.items(&entry.node, report);
    let mut targets: Vec<Target> = Vec::with_capacity(items.len());
    for item in items {
        let fields = Fields::open(&SPLIT_SECTION, item, item.origin, report);
        let name = fields.require("upstream", "\"app\"", report);
        let weight = fields.count("weight", report);
        let subset = fields.entry("subset");
        if let Some(name) = name {
            let upstream = surroundings.upstream(name, report);
            let target = target(upstream, weight, name.node.origin, subset, report);
            let is_same = |other: &&Target| {
                (&other.upstream, &other.subset) == (&target.upstream, &target.subset)
            };
            if let Some(first) = targets.iter().find(is_same) {
                let message = format!("the target `{}` stands here twice", target.upstream);
                report.push(
                    Diagnostic::new(Code::ConflictingKeys, target.origin, message)
                        .label("again")
                        .related(first.origin, "first here")
                        .help("give one of them the weight of both"),
                );
            }
            targets.push(target);
        }
        fields.finish();
    }
    if targets.iter().all(|target| target.weight == 0) && !report.has_errors() {
        let diagnostic = Diagnostic::new(
            Code::BadValue,
            entry.node.origin,
            "no target takes requests",
        );
        report.push(diagnostic.help("give at least one target a weight of 1 or more"));
    }
    targets
}

/// What decides which target takes a request.
pub(super) fn split_by(fields: &Fields<'_>, report: &mut Report) -> Option<HashBy> {
    let entry = fields.entry("split_by")?;
    if fields.entry("split").is_none() {
        let message = "`split_by` does nothing without `split`";
        let diagnostic = Diagnostic::new(Code::ConflictingKeys, entry.key_origin, message);
        report.push(diagnostic.label("has no effect").help("remove it"));
        return None;
    }
    let text = crate::scalar::text(&entry.node, report)?;
    balancing::hash_by(text, entry.node.origin, report)
}

/// What is mirrored, for a route with these targets.
pub(super) fn mirror(
    entry: &Entry,
    targets: &[Target],
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Option<Box<Mirror>> {
    let fields = Fields::open(&MIRROR_SECTION, &entry.node, entry.key_origin, report);
    let name = fields.require("upstream", "\"shadow\"", report);
    let share = fields.integer("share", report);
    let mirror = name.map(|name| {
        let upstream = surroundings.upstream(name, report);
        Box::new(Mirror {
            target: target(upstream, 1, name.node.origin, None, report),
            share_percent: u8::try_from(share).unwrap_or(100),
            body_bytes_max: fields.size("body_bytes_max", report),
            requests_max: fields.count("requests_max", report),
        })
    });
    if name.is_none() {
        fields.entry("body_bytes_max");
        fields.entry("requests_max");
    }
    fields.finish();
    if let Some(mirror) = &mirror
        && let Some(own) = targets
            .iter()
            .find(|own| own.upstream == mirror.target.upstream)
        && !own.upstream.is_empty()
    {
        report.push(
            Diagnostic::new(
                Code::ConflictingKeys,
                mirror.target.origin,
                "the route's own upstream would get every request twice",
            )
            .related(own.origin, "the requests go here already")
            .help("mirror to another upstream"),
        );
    }
    mirror
}

/// The route's own timeouts and `host`, which hold for all of its targets.
pub(super) fn overrule(fields: &Fields<'_>, targets: &mut [Target], report: &mut Report) {
    let timeouts = fields.entry("timeouts");
    let host = fields.entry("host").and_then(|entry| {
        let text = crate::scalar::text(&entry.node, report)?;
        proxying::host(text, entry.node.origin, report)
    });
    let idempotent = fields.boolean("idempotent", report);
    for (number, target) in targets.iter_mut().enumerate() {
        // What is wrong is told once.
        let mut silent = Report::default();
        let report = if number == 0 {
            &mut *report
        } else {
            &mut silent
        };
        target.timeouts = proxying::route_timeouts(timeouts, target.timeouts, report);
        target.idempotent = idempotent;
        target.host = host.clone().unwrap_or_else(|| target.host.clone());
    }
}
