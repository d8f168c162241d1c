//! `[[sites."<host>".routes]]`

use super::header_rules;
use super::sites::Surroundings;
use super::{matching, overload, proxying, responses, targets};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{self, Default, Kind, SIZE_64, Section, key};
use crate::settings::{Action, PathMatch, Proxy, Route, Target};
use crate::tree::{Entry, Node};
use crate::words;

const CONDITIONS: Kind = Kind::Map(&keys::ANY, &Kind::Text(&keys::VALUE_MATCH));

pub(super) static SECTION: Section = Section {
    heading: "[[sites.\"<host>\".routes]]",
    doc: "Conditions on a request, and what is done if all of them hold: exactly one of `upstream`, `split`, `redirect` and `respond`.",
    keys: &[
        key(
            "name",
            Kind::Text(&keys::NAME),
            Default::Absent("`route-N`, counted from 1"),
            "The route's name in logs, metrics and explanations, unique in its site.",
        ),
        key(
            "path",
            Kind::Either(&[
                Kind::Text(&keys::PATH),
                Kind::Table(&matching::PATH_SECTION),
            ]),
            Default::Absent("every path"),
            "The paths it takes. A plain text is a prefix.",
        ),
        key(
            "methods",
            Kind::List(&Kind::Text(&keys::METHOD)),
            Default::Absent("any method"),
            "The methods it takes, in upper case. `CONNECT` and `TRACE` never come to a route.",
        ),
        key(
            "headers",
            Kind::Map(&keys::FIELD_NAME, &Kind::Text(&keys::VALUE_MATCH)),
            Default::Empty,
            "Conditions on headers, such as `{ \"X-Beta\" = \"1\" }`. A value is matched exactly; `\"*\"` means there, `\"!\"` not \
             there, `\"~regex\"` a regular expression that is searched for in the value. Of several lines the first counts.",
        ),
        key(
            "query",
            CONDITIONS,
            Default::Empty,
            "Conditions on query parameters, in the same forms, after percent-decoding. If one comes several times, the first counts.",
        ),
        key(
            "clients",
            Kind::List(&Kind::Text(&keys::RANGE)),
            Default::Absent("any client"),
            "Ranges that the client's address must be in.",
        ),
        key(
            "priority",
            Kind::Integer {
                min: i32::MIN as i64,
                max: i32::MAX as i64,
            },
            Default::Integer(0),
            "Overrides the order of routes: higher goes first.",
        ),
        overload::IMPORTANCE,
        key(
            "upstream",
            Kind::Text(&keys::NAME),
            Default::Absent(""),
            "Action: send the request to this upstream.",
        ),
        targets::SUBSET,
        key(
            "split",
            Kind::List(&Kind::Table(&targets::SPLIT_SECTION)),
            Default::Absent(""),
            "Action: send the requests to several upstreams or subsets, each a part by its weight.",
        ),
        targets::SPLIT_BY,
        targets::MIRROR,
        key(
            "redirect",
            Kind::Table(&responses::REDIRECT),
            Default::Absent(""),
            "Action: send the client elsewhere.",
        ),
        key(
            "respond",
            Kind::Table(&responses::RESPOND),
            Default::Absent(""),
            "Action: a fixed answer.",
        ),
        key(
            "strip_prefix",
            Kind::Text(&keys::PATH),
            Default::Absent("the path stays"),
            "A prefix that is removed from the path before it is forwarded, by whole segments: `/api` makes `/api/x` to `/x` and \
             `/api` to `/`. What remains begins with one `/`, whatever `duplicate_slashes` says: `/api//x` becomes `/x`, since \
             a path that begins with two could be read as a host.",
        ),
        key(
            "replace_path",
            Kind::Either(&[
                Kind::Text(&keys::PATH),
                Kind::Table(&proxying::REPLACE_PATH),
            ]),
            Default::Absent("the path stays"),
            "The path that is forwarded instead; the query stays.",
        ),
        proxying::HOST_OF_ROUTE,
        key(
            "request_headers",
            Kind::Table(&header_rules::SECTION),
            Default::Empty,
            "Rules for fields on their way to the backend.",
        ),
        key(
            "response_headers",
            Kind::Table(&header_rules::SECTION),
            Default::Empty,
            "Rules for fields of answers on their way to the client: of those that backends give, of `redirect` and of `respond`. \
             What the gateway answers by itself where something is refused or fails (404, 413, 502, 504 and the like) stays as \
             it is.",
        ),
        key(
            "body_bytes_max",
            Kind::Size {
                max: SIZE_64,
                off: true,
            },
            Default::Absent("that of `[client]`"),
            "Bytes of a request's body. More is answered with 413.",
        ),
        key(
            "timeouts",
            Kind::Table(&proxying::ROUTE_TIMEOUTS),
            Default::Empty,
            "How long the backend may take.",
        ),
        key(
            "idempotent",
            Kind::Boolean,
            Default::Boolean(false),
            "Whether a request may be sent to a second backend whatever its method: whoever says so knows that a backend which \
             gets it twice does the same as one that gets it once.",
        ),
    ],
};

/// Keys that say how a request is sent to a backend.
const PROXY_KEYS: [&str; 8] = [
    "subset",
    "mirror",
    "idempotent",
    "strip_prefix",
    "replace_path",
    "host",
    "request_headers",
    "timeouts",
];

pub(super) fn read(
    site: &Fields<'_>,
    site_index: usize,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Vec<Route> {
    let Some(list) = site.entry("routes") else {
        return Vec::new();
    };
    let items = site.items(&list.node, report);
    let mut routes = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let errors = report.errors();
        routes.push(read_one(index, item, surroundings, report));
        if report.errors() > errors {
            surroundings.faulty.insert((site_index, index));
        }
    }
    routes
}

fn read_one(
    index: usize,
    item: &Node,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Route {
    let fields = Fields::open(&SECTION, item, item.origin, report);
    let name_entry = fields.entry("name");
    let name = name_entry.and_then(|entry| {
        let name = crate::scalar::text(&entry.node, report)?;
        words::name(name, entry.node.origin, report);
        Some(name.to_owned())
    });
    let origin = name_entry.map_or(item.origin, |entry| entry.node.origin);
    let path_entry = fields.entry("path");
    let path_origin = path_entry.map_or(origin, |entry| entry.node.origin);
    let path = path_entry.and_then(|entry| matching::path(entry, report));
    let path = path.unwrap_or_else(|| PathMatch::Prefix("/".to_owned()));
    let mut methods = fields.list("methods", report, method);
    methods.sort();
    methods.dedup();
    let body_bytes_max = match fields.entry("body_bytes_max") {
        Some(entry) => crate::scalar::size(&entry.node, SIZE_64, true, report).flatten(),
        None => surroundings.client.body_bytes_max,
    };
    let route = Route {
        name: name.unwrap_or_else(|| format!("route-{}", index + 1)),
        origin,
        action: action(&fields, &path, path_origin, surroundings, report),
        path,
        path_origin,
        methods,
        headers: matching::headers(fields.entry("headers"), report),
        query: matching::query(fields.entry("query"), report),
        clients: fields.list("clients", report, words::range),
        priority: i32::try_from(fields.integer("priority", report)).unwrap_or(0),
        importance: overload::importance(&fields, report),
        request_headers: header_rules::read(fields.entry("request_headers"), report),
        response_headers: header_rules::read(fields.entry("response_headers"), report),
        body_bytes_max,
    };
    fields.finish();
    route
}

/// A method that a route takes.
fn method(text: &str, origin: crate::Origin, report: &mut Report) -> Option<String> {
    if matches!(text, "CONNECT" | "TRACE") {
        let message = format!("no request with `{text}` comes to a route");
        report.push(
            Diagnostic::new(Code::UselessMethod, origin, message)
                .label("never matches")
                .cause("such requests are answered with 405 before a route is chosen: one would open tunnels, the other shows fields that the gateway adds")
                .help("remove it"),
        );
    }
    words::method(text, origin, report)
}

fn action(
    fields: &Fields<'_>,
    path: &PathMatch,
    path_origin: crate::Origin,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Action {
    let actions = ["upstream", "split", "redirect", "respond"].map(|name| fields.entry(name));
    let mut written = actions.iter().flatten();
    match (written.next(), written.next()) {
        (Some(first), Some(second)) => report.push(
            Diagnostic::new(
                Code::SeveralActions,
                second.key_origin,
                "a route does one thing",
            )
            .label("a second action")
            .related(first.key_origin, "the first action")
            .help("write two routes with different conditions"),
        ),
        (None, _) if !fields.has_unknown => report.push(
            Diagnostic::new(Code::NoAction, fields.origin, "the route does nothing")
                .label("neither `upstream`, `split`, `redirect` nor `respond`")
                .help("for example: upstream = \"app\""),
        ),
        _ => {}
    }
    let [upstream, split, redirect, respond] = actions;
    let (strip_prefix, replace_path) = (fields.entry("strip_prefix"), fields.entry("replace_path"));
    let rewrite = proxying::rewrite(strip_prefix, replace_path, path, path_origin, report);
    if upstream.or(split).is_none() {
        only_with_upstream(fields, redirect.or(respond), report);
    }
    let redirect = redirect.and_then(|entry| responses::redirect(entry, report));
    let respond = respond.and_then(|entry| responses::respond(entry, report));
    let split_by = targets::split_by(fields, report);
    match (upstream.or(split), redirect, respond) {
        (None, Some(redirect), _) => return Action::Redirect(redirect),
        (None, None, Some(respond)) => return Action::Respond(respond),
        _ => {}
    }
    let mut targets = targets_of(fields, upstream, split, surroundings, report);
    targets::overrule(fields, &mut targets, report);
    let mirror = fields
        .entry("mirror")
        .and_then(|entry| targets::mirror(entry, &targets, surroundings, report));
    Action::Proxy(Proxy {
        targets,
        split_by,
        mirror,
        rewrite,
        rewrite_origin: strip_prefix
            .or(replace_path)
            .map_or(fields.origin, |entry| entry.node.origin),
    })
}

fn targets_of(
    fields: &Fields<'_>,
    upstream: Option<&Entry>,
    split: Option<&Entry>,
    surroundings: &mut Surroundings<'_>,
    report: &mut Report,
) -> Vec<Target> {
    let subset = fields.entry("subset");
    if let (None, Some(split)) = (upstream, split) {
        if let Some(subset) = subset {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    subset.key_origin,
                    "each target of a `split` has a `subset` of its own",
                )
                .related(split.key_origin, "the targets are here")
                .help("write it there: { upstream = \"app\", subset = { version = \"v2\" } }"),
            );
        }
        let targets = targets::split(fields, split, surroundings, report);
        if !targets.is_empty() {
            return targets;
        }
    }
    let (upstream, origin) = match upstream {
        Some(entry) => (surroundings.upstream(entry, report), entry.node.origin),
        None => (&surroundings.no_upstream, fields.origin),
    };
    vec![targets::target(upstream, 1, origin, subset, report)]
}

/// Reports keys that would do nothing, since no backend is involved.
fn only_with_upstream(fields: &Fields<'_>, action: Option<&Entry>, report: &mut Report) {
    let Some(action) = action else {
        return;
    };
    for name in PROXY_KEYS {
        if let Some(entry) = fields.entry(name) {
            report.push(
                Diagnostic::new(
                    Code::ConflictingKeys,
                    entry.key_origin,
                    format!("`{name}` does nothing without `upstream`"),
                )
                .label("has no effect")
                .related(action.key_origin, "the route answers by itself")
                .help("remove it"),
            );
        }
    }
}
