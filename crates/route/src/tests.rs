//! The compiled router against the plainest reading of its rules.

use crate::*;
use foregate_message::{FieldName, RequestHead};
use proptest::prelude::*;
use std::net::IpAddr;

fn route(name: &str, path: PathMatch) -> RouteSpec {
    RouteSpec {
        name: name.into(),
        priority: 0,
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        clients: Vec::new(),
    }
}

fn prefix(path: &str) -> RouteSpec {
    route(path, PathMatch::Prefix(path.into()))
}

fn site(host: HostMatch, routes: Vec<RouteSpec>) -> SiteSpec {
    SiteSpec {
        hosts: vec![host],
        listeners: Vec::new(),
        routes,
    }
}

fn ask<'a>(head: &'a RequestHead, host: &'a str, path: &'a str) -> Question<'a> {
    Question {
        listener: 0,
        host: host.as_bytes(),
        path: path.as_bytes(),
        query: None,
        head,
        client: IpAddr::from([10, 0, 0, 1]),
    }
}

#[test]
fn a_failed_condition_leaves_the_request_to_the_next_route() {
    let mut post = route("post", PathMatch::Exact("/a".into()));
    post.methods = vec!["POST".into()];
    let mut beta = route("beta", PathMatch::Regex("^/a".into()));
    beta.headers = vec![(FieldName::new("X-Beta").unwrap(), ValueMatch::Present)];
    let mut two = route("two", PathMatch::Glob("/*".into()));
    two.query = vec![("v".into(), ValueMatch::Exact("2".into()))];
    let mut near = prefix("/a");
    near.clients = vec!["192.0.2.0/24".parse().unwrap()];
    let sites = [
        site(
            HostMatch::Exact("h".into()),
            vec![prefix("/"), prefix("/b"), near, two, beta, post],
        ),
        site(HostMatch::Any, vec![prefix("/")]),
    ];
    let router = Router::compile(&sites).unwrap();
    let head = RequestHead::with("GET", b"/a");
    let mut trace = Trace::default();
    let found = router.find(&ask(&head, "H.", "/a"), Some(&mut trace));
    assert_eq!(found, Ok(Match { site: 0, route: 0 }));
    let told: Vec<String> = trace
        .skipped
        .iter()
        .map(|each| format!("{:?} {}", each.route, each.cause))
        .collect();
    assert_eq!(
        told,
        [
            "Some(5) method",
            "Some(4) header(X-Beta)",
            "Some(3) query(v)",
            "Some(2) client",
            "Some(1) path"
        ],
    );
}

#[test]
fn a_site_without_a_route_does_not_pass_the_request_on() {
    let sites = [
        site(HostMatch::Exact("h".into()), vec![prefix("/a")]),
        site(HostMatch::Any, vec![prefix("/")]),
    ];
    let router = Router::compile(&sites).unwrap();
    let head = RequestHead::with("GET", b"/b");
    assert_eq!(
        router.find(&ask(&head, "h", "/b"), None),
        Err(Miss::NoRoute { site: 0 })
    );
    assert_eq!(
        router.find(&ask(&head, "i", "/b"), None),
        Ok(Match { site: 1, route: 0 })
    );
    let router = Router::compile(&sites[..1]).unwrap();
    let miss = router.find(&ask(&head, "i", "/b"), None).unwrap_err();
    assert_eq!((miss, miss.reason().name()), (Miss::NoSite, "no-site"));
}

#[test]
fn every_error_is_told() {
    let name = FieldName::new("X").unwrap();
    let mut bad = route("bad", PathMatch::Regex("/".into()));
    bad.headers = vec![(name, ValueMatch::Regex("(".into()))];
    bad.query = vec![("q".into(), ValueMatch::Regex("[".into()))];
    let sites = [
        site(HostMatch::Any, vec![prefix("/")]),
        site(
            HostMatch::Any,
            vec![bad, prefix("a"), route("re", PathMatch::Regex("*".into()))],
        ),
    ];
    let mut found: Vec<String> = Router::compile(&sites)
        .unwrap_err()
        .iter()
        .map(|error| {
            let line = error.to_string();
            format!(
                "{} {} {}",
                error.site,
                error.route,
                line.split(':').next().unwrap()
            )
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "1 0 the pattern for header `X` can't be compiled",
            "1 0 the pattern for query parameter `q` can't be compiled",
            "1 1 the path does not begin with `/`",
            "1 2 the path pattern can't be compiled",
        ]
    );
}

#[test]
fn what_comes_several_times_is_told_once() {
    let name = || FieldName::new("X-V").unwrap();
    let exact = |text: &str| ValueMatch::Exact(text.into());
    let mut by_both = prefix("/");
    by_both.headers = vec![(name(), exact("1"))];
    by_both.query = vec![("v".into(), exact("1"))];
    let mut by_query = prefix("/");
    by_query.query = vec![("v".into(), ValueMatch::Regex("2".into()))];
    let mut there = prefix("/");
    there.query = vec![("w".into(), ValueMatch::Present)];
    let mut elsewhere = prefix("/a");
    elsewhere.query = vec![("x".into(), exact("1"))];
    let routes = vec![by_both, by_query, there, elsewhere];
    let router = Router::compile(&[site(HostMatch::Any, routes)]).unwrap();
    let mut head = RequestHead::with("GET", b"/");
    for value in [b"2", b"1", b"1"] {
        head.fields.append_line(b"x-v", value);
    }
    let query = "v=1&v=2&w=1&w=2&x=1&x=1";
    let question = Question {
        query: Some(query.as_bytes()),
        ..ask(&head, "any", "/")
    };
    let mut trace = Trace::default();
    let found = router.find(&question, Some(&mut trace));
    assert_eq!(found.unwrap().route, 2);
    let told: Vec<String> = trace
        .repeated
        .iter()
        .map(|each| format!("{} {}", each.condition, each.times))
        .collect();
    assert_eq!(told, ["header(X-V) 3", "query(v) 2"]);
}

/// Whether `route` takes a request, read from the rules alone. The generated values need no decoding.
fn takes(
    route: &RouteSpec,
    path: &str,
    method: &str,
    header: Option<&str>,
    query: Option<&str>,
    client: IpAddr,
) -> bool {
    let path_fits = match &route.path {
        PathMatch::Exact(text) => text == path,
        PathMatch::Prefix(text) if text.ends_with('/') => path.starts_with(text.as_str()),
        PathMatch::Prefix(text) => path == text || path.starts_with(&format!("{text}/")),
        // Generated globs are a literal and a star at the end.
        PathMatch::Glob(text) => path
            .strip_prefix(text.trim_end_matches('*'))
            .is_some_and(|rest| !rest.contains('/')),
        PathMatch::Regex(text) => path.contains(text.as_str()),
    };
    let fits = |test: &ValueMatch, value: Option<&str>| match test {
        ValueMatch::Exact(text) => value == Some(text.as_str()),
        ValueMatch::Present => value.is_some(),
        ValueMatch::Absent => value.is_none(),
        ValueMatch::Regex(text) => value.is_some_and(|value| value.contains(text.as_str())),
    };
    path_fits
        && (route.methods.is_empty() || route.methods.iter().any(|each| each == method))
        && route.headers.iter().all(|(_, test)| fits(test, header))
        && route.query.iter().all(|(_, test)| fits(test, query))
        && (route.clients.is_empty() || route.clients.iter().any(|range| range.contains(&client)))
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        "[xy]".prop_map(ValueMatch::Exact),
        Just(ValueMatch::Present),
        Just(ValueMatch::Absent),
        "[xy]".prop_map(ValueMatch::Regex),
    ]
}

fn any_route() -> impl Strategy<Value = RouteSpec> {
    let path = prop_oneof![
        "/[ab/]{0,3}".prop_map(PathMatch::Exact),
        "/[ab/]{0,3}".prop_map(PathMatch::Prefix),
        "/[ab/]{0,3}".prop_map(PathMatch::Prefix),
        "/[ab/]{0,2}".prop_map(|text| PathMatch::Glob(text + "*")),
        "[ab/]{1,2}".prop_map(PathMatch::Regex),
    ];
    let clients = proptest::sample::subsequence(vec!["10.0.0.0/8", "10.0.0.0/31", "::/0"], 0..3);
    let name = FieldName::new("X-Test").unwrap();
    let methods = proptest::sample::subsequence(vec!["GET".to_owned(), "PURGE".to_owned()], 0..2);
    let headers = proptest::collection::vec(
        value_match().prop_map(move |value| (name.clone(), value)),
        0..2,
    );
    let query = proptest::collection::vec(
        value_match().prop_map(|value| ("q".to_owned(), value)),
        0..2,
    );
    (-1..2i32, path, methods, headers, query, clients, "[a-z]{3}").prop_map(
        |(priority, path, methods, headers, query, clients, name)| RouteSpec {
            name,
            priority,
            path,
            methods,
            headers,
            query,
            clients: clients
                .into_iter()
                .map(|range| range.parse().unwrap())
                .collect(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finds_what_trying_all_routes_by_rank_finds(
        routes in proptest::collection::vec(any_route(), 1..12),
        path in "/[ab/]{0,4}",
        method in "GET|PURGE|POST",
        headers in proptest::collection::vec("[xyz]{1,2}", 0..3),
        parameters in proptest::collection::vec("[xyz]{1,2}", 0..3),
        last in 0..4u8,
    ) {
        let client = IpAddr::from([10, 0, 0, last]);
        let mut head = RequestHead::with(&method, path.as_bytes());
        for value in &headers {
            head.fields.append_line(b"x-test", value.as_bytes());
        }
        let query_text = parameters.iter().fold("p=1".to_owned(), |text, value| format!("{text}&q={value}"));
        // Of several values the first counts.
        let (header, query) = (headers.first(), parameters.first());
        let sites = [site(HostMatch::Any, routes.clone())];
        let router = Router::compile(&sites).unwrap();
        let question = Question {
            query: Some(query_text.as_bytes()),
            client,
            ..ask(&head, "any", &path)
        };
        let by_rank = rank::order(&routes);
        let expected = by_rank.iter().position(|&at| {
            takes(&routes[at as usize], &path, &method, header.map(String::as_str), query.map(String::as_str), client)
        });
        let mut trace = Trace::default();
        let found = router.find(&question, Some(&mut trace));
        prop_assert_eq!(found.ok().map(|found| found.route), expected.map(|at| by_rank[at]));
        prop_assert_eq!(router.find(&question, None), found);
        let told: Vec<u32> = trace.skipped.iter().filter_map(|each| each.route).collect();
        prop_assert_eq!(&told, &by_rank[..expected.unwrap_or(by_rank.len())]);
    }

    /// Two exact values of one field or parameter exclude each other: what a request repeats can't make two routes of one
    /// rank take it, so that their places in the file would decide.
    #[test]
    fn of_routes_by_exact_value_at_most_one_takes_a_request(
        headers in proptest::collection::vec("[xyz]{0,2}", 0..4),
        parameters in proptest::collection::vec("(q|%71)=[xyz]{0,2}", 0..4),
        by_header: bool,
    ) {
        let name = FieldName::new("X-Test").unwrap();
        let mut head = RequestHead::with("GET", b"/");
        for value in &headers {
            head.fields.append_line(b"x-test", value.as_bytes());
        }
        let query = parameters.join("&");
        let question = Question { query: Some(query.as_bytes()), ..ask(&head, "any", "/") };
        let taking = ["", "x", "y", "z", "xy", "yx"].iter().filter(|value| {
            let value = ValueMatch::Exact((**value).to_owned());
            let mut route = prefix("/");
            match by_header {
                true => route.headers.push((name.clone(), value)),
                false => route.query.push(("q".to_owned(), value)),
            }
            let router = Router::compile(&[site(HostMatch::Any, vec![route])]).unwrap();
            router.find(&question, None).is_ok()
        });
        prop_assert!(taking.count() <= 1);
    }
}
