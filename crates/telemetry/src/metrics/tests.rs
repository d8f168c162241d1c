//! The registry from end to end: counted on several threads, scraped, parsed again.

use super::*;
use std::collections::BTreeMap;

const REASONS: &[&str] = &["ok", "no-route", "connect-failed"];

/// A strict reader of the text format: name and labels (as written) to value; panics at anything malformed.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families: Vec<&str> = Vec::new();
    let mut described = "";
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            described = help.split(' ').next().unwrap();
            assert!(!families.contains(&described), "{described} comes twice");
            families.push(described);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, described);
            assert!(["counter", "gauge", "histogram", "summary"].contains(&kind));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert!(name.starts_with(described), "{line} is outside its family");
            let value: f64 = value.parse().unwrap();
            assert!(samples.insert(sample.to_owned(), value).is_none(), "{line}");
        }
    }
    samples
}

fn figures(status: u16, reason: u16, duration_micros: u64) -> RequestFigures {
    RequestFigures {
        status,
        reason,
        bytes_in: 10,
        bytes_out: 1_000,
        duration_micros,
    }
}

#[track_caller]
fn check(samples: &BTreeMap<String, f64>, sample: &str, expected: f64) {
    assert_eq!(samples.get(sample).copied(), Some(expected), "{sample}");
}

#[test]
fn what_workers_count_is_summed() {
    let registry = Registry::new(REASONS);
    let api = registry.routes_in_force(&[("example.com", "api")])[0];
    let endpoint = registry.endpoint("app", "10.0.0.1:80");
    let public = registry.listener("public");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let shard = registry.shard();
                shard.connections.up();
                for _ in 0..1_000 {
                    shard.request(api, &figures(200, 0, 700));
                    shard.endpoint(endpoint).requests.one();
                    shard.endpoint(endpoint).answered(500);
                }
                shard.request(api, &figures(502, 2, 9_000));
                shard.request(RouteId::OTHER, &figures(404, 1, 50));
                shard.endpoint(endpoint).failed(EndpointFailure::Connect);
                shard.listener(public).accepted.one();
                shard.listener(public).active.up();
                shard.listener(public).refused(Refusal::ConnectionsMax);
            });
        }
    });
    let samples = parse(&registry.render());
    let ours =
        |name: &str, more: &str| format!("{name}{{site=\"example.com\",route=\"api\"{more}}}");
    check(
        &samples,
        &ours("foregate_requests_total", ",class=\"2xx\""),
        3_000.0,
    );
    check(
        &samples,
        &ours("foregate_requests_total", ",class=\"4xx\""),
        0.0,
    );
    check(
        &samples,
        &ours("foregate_requests_total", ",class=\"5xx\""),
        3.0,
    );
    let bytes = ours("foregate_response_body_bytes_total", "");
    check(&samples, &bytes, 3_003_000.0);
    let fast = ours("foregate_request_seconds_bucket", ",le=\"0.001024\"");
    check(&samples, &fast, 3_000.0);
    let all = ours("foregate_request_seconds_bucket", ",le=\"+Inf\"");
    check(&samples, &all, 3_003.0);
    check(&samples, &ours("foregate_request_seconds_sum", ""), 2.127);
    let failed = ours(
        "foregate_route_outcomes_total",
        ",reason=\"connect-failed\"",
    );
    check(&samples, &failed, 3.0);
    check(&samples, "foregate_outcomes_total{reason=\"ok\"}", 3_000.0);
    check(
        &samples,
        "foregate_outcomes_total{reason=\"no-route\"}",
        3.0,
    );
    let other = "foregate_requests_total{site=\"\",route=\"other\",class=\"4xx\"}";
    check(&samples, other, 3.0);
    let ours = |name: &str, more: &str| {
        format!("{name}{{upstream=\"app\",endpoint=\"10.0.0.1:80\"{more}}}")
    };
    check(
        &samples,
        &ours("foregate_endpoint_requests_total", ""),
        3_000.0,
    );
    check(
        &samples,
        &ours("foregate_endpoint_response_seconds_sum", ""),
        1.5,
    );
    check(
        &samples,
        &ours("foregate_endpoint_response_seconds_count", ""),
        3_000.0,
    );
    let connect = ours("foregate_endpoint_failures_total", ",kind=\"connect\"");
    check(&samples, &connect, 3.0);
    check(&samples, "foregate_connections{listener=\"public\"}", 3.0);
    let refused =
        "foregate_connections_refused_total{listener=\"public\",reason=\"connections-max\"}";
    check(&samples, refused, 3.0);
    check(&samples, "foregate_worker_connections{worker=\"2\"}", 1.0);
    assert!(
        !samples
            .keys()
            .any(|sample| sample.contains("listener=\"other\""))
    );
}

#[test]
fn slots_survive_reloads_and_overflow_into_other() {
    let limits = Limits {
        routes_max: 2,
        endpoints_max: 1,
        listeners_max: 1,
        routes_with_reasons_max: 1,
    };
    let registry = Registry::with_limits(REASONS, limits);
    let routes = [("a", "1"), ("a", "2"), ("a", "3")];
    let [first, second, third] = registry.routes_in_force(&routes)[..] else {
        panic!("three slots");
    };
    assert_eq!(third, RouteId::OTHER);
    let turned = [("a", "2"), ("a", "1")];
    assert_eq!(registry.routes_in_force(&turned), [second, first]);
    let endpoint = registry.endpoint("app", "x");
    assert_eq!(registry.endpoint("app", "y"), EndpointId::OTHER);
    assert_eq!(registry.endpoint("app", "x"), endpoint);
    let _ = registry.listener("one");
    assert_eq!(registry.listener("two"), ListenerId::OTHER);
    let shard = registry.shard();
    shard.request(first, &figures(502, 2, 1));
    shard.request(second, &figures(502, 2, 1));
    shard.request(RouteId::OTHER, &figures(502, 2, 1));
    shard.listener(ListenerId::OTHER).accepted.one();
    let samples = parse(&registry.render());
    let outcomes = |site: &str, route: &str| {
        format!(
            "foregate_route_outcomes_total{{site=\"{site}\",route=\"{route}\",reason=\"connect-failed\"}}"
        )
    };
    check(&samples, &outcomes("a", "1"), 1.0);
    check(&samples, &outcomes("", "other"), 2.0);
    assert!(!samples.contains_key(&outcomes("a", "2")));
    let refused = "foregate_metric_names_refused_total{table=\"routes\"}";
    check(&samples, refused, 1.0);
    let other = "foregate_connections_accepted_total{listener=\"other\"}";
    check(&samples, other, 1.0);
}

#[test]
fn endpoints_come_and_go_within_the_table() {
    let limits = Limits {
        endpoints_max: 2,
        ..Limits::default()
    };
    let registry = Registry::with_limits(REASONS, limits);
    let shard = registry.shard();
    let requests = |name: &str| {
        format!("foregate_endpoint_requests_total{{upstream=\"app\",endpoint=\"{name}\"}}")
    };
    let stays = registry.endpoint("app", "stays");
    for number in 0..1_000 {
        let name = format!("10.0.0.{number}:80");
        let id = registry.endpoint("app", &name);
        assert_ne!(id, EndpointId::OTHER);
        shard.endpoint(id).requests.add(number + 1);
        shard.endpoint(stays).requests.one();
        shard.endpoint(id).connections.up();
        registry.endpoint_gone("app", &name);
        let samples = parse(&registry.render());
        check(&samples, &requests(&name), (number + 1) as f64);
        check(&samples, &requests("stays"), (number + 1) as f64);
        // Its last connection ends: it is shown no more.
        shard.endpoint(id).connections.down();
        assert!(!parse(&registry.render()).contains_key(&requests(&name)));
    }
    let refused = "foregate_metric_names_refused_total{table=\"endpoints\"}";
    check(&parse(&registry.render()), refused, 0.0);
}

#[test]
fn routes_come_and_go_within_the_table() {
    let limits = Limits {
        routes_max: 2,
        routes_with_reasons_max: 2,
        ..Limits::default()
    };
    let registry = Registry::with_limits(REASONS, limits);
    let shard = registry.shard();
    let told = |name: &str| {
        let labels = format!("site=\"a\",route=\"{name}\"");
        [
            format!("foregate_requests_total{{{labels},class=\"5xx\"}}"),
            format!("foregate_request_seconds_count{{{labels}}}"),
            format!("foregate_route_outcomes_total{{{labels},reason=\"connect-failed\"}}"),
        ]
    };
    let check = |name: &str, count: u32| {
        let samples = parse(&registry.render());
        told(name)
            .iter()
            .for_each(|sample| check(&samples, sample, count.into()));
    };
    for number in 1..=100 {
        let name = number.to_string();
        let [stays, comes] = registry.routes_in_force(&[("a", "stays"), ("a", &name)])[..] else {
            panic!("two slots");
        };
        assert_ne!(comes, RouteId::OTHER);
        shard.request(stays, &figures(502, 2, 1));
        for _ in 0..number {
            shard.request(comes, &figures(502, 2, 1));
        }
        check(&name, number);
        check("stays", number);
    }
    // Dropped and back before its slot was needed: it goes on from where it was.
    let _ = registry.routes_in_force(&[("a", "stays")]);
    check("100", 100);
    let back = registry.routes_in_force(&[("a", "100")])[0];
    shard.request(back, &figures(502, 2, 1));
    check("100", 101);
    let refused = "foregate_metric_names_refused_total{table=\"routes\"}";
    assert_eq!(parse(&registry.render())[refused], 0.0);
    assert_eq!(registry.totals().requests, (1..=100).sum::<u64>() + 101);
}

#[test]
fn hostile_names_stay_inside_their_quotes() {
    let registry = Registry::new(REASONS);
    let route = registry.routes_in_force(&[("a\"} 1\nevil_total 5", "back\\slash")])[0];
    registry.shard().request(route, &figures(200, 0, 1));
    let text = registry.render();
    assert!(text.contains(r#"site="a\"} 1\nevil_total 5",route="back\\slash""#));
    parse(&text);
}

#[test]
fn process_metrics() {
    let registry = Registry::new(REASONS);
    registry.config_loaded(UnixTime::from_seconds(1_700_000_000));
    registry.config_loaded(UnixTime::from_seconds(1_700_000_100));
    registry.reload_failed();
    registry.panic_caught();
    let samples = parse(&registry.render());
    let loaded = "foregate_config_loaded_timestamp_seconds";
    check(&samples, loaded, 1_700_000_100.0);
    check(
        &samples,
        "foregate_config_reloads_total{result=\"ok\"}",
        1.0,
    );
    check(
        &samples,
        "foregate_config_reloads_total{result=\"failed\"}",
        1.0,
    );
    check(&samples, "foregate_panics_total", 1.0);
    assert!(samples["foregate_uptime_seconds"] >= 0.0);
    let build = format!(
        "foregate_build_info{{version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    check(&samples, &build, 1.0);
}

#[test]
fn registered_gauges_are_collected_and_replaced() {
    struct Fixed(f64);
    impl Gauges for Fixed {
        fn collect(&self, out: &mut Exposition) {
            let family = out.family("foregate_fixed", Kind::Gauge, "A fixed number.");
            out.value(family, &[], self.0);
        }
    }
    let registry = Registry::new(REASONS);
    registry.register("fixed", Arc::new(Fixed(1.0)));
    registry.register("fixed", Arc::new(Fixed(2.5)));
    check(&parse(&registry.render()), "foregate_fixed", 2.5);
}

#[test]
fn totals_subtract() {
    let registry = Registry::new(REASONS);
    let route = registry.routes_in_force(&[("a", "1")])[0];
    let first = registry.endpoint("app", "x");
    let shard = registry.shard();
    shard.request(route, &figures(200, 0, 100));
    shard.endpoint(first).requests.one();
    let before = registry.totals();
    assert_eq!(before.requests, 1);
    let second = registry.endpoint("app", "y");
    let other_shard = registry.shard();
    other_shard.request(route, &figures(503, 2, 90_000));
    other_shard.endpoint(second).requests.add(4);
    other_shard
        .endpoint(second)
        .failed(EndpointFailure::Timeout);
    other_shard.connections.up();
    let between = registry.totals().since(&before);
    assert_eq!(between.requests, 1);
    assert_eq!(between.classes, [0, 0, 0, 0, 0, 1]);
    assert_eq!(between.outcomes, [0, 0, 1]);
    assert_eq!((between.bytes_in, between.bytes_out), (10, 1_000));
    assert_eq!(between.connections, 1);
    assert_eq!(between.latency.quantile(0.5), Some(98_304));
    let requests: Vec<_> = between
        .endpoints
        .iter()
        .map(|endpoint| (&*endpoint.address, endpoint.requests, endpoint.failures))
        .collect();
    assert_eq!(requests, [("x", 0, 0), ("y", 4, 1)]);
}

#[test]
fn routes_that_were_not_used_cost_no_lines() {
    let registry = Registry::new(REASONS);
    let names: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    let routes: Vec<(&str, &str)> = names.iter().map(|name| ("a", &**name)).collect();
    let _ = registry.routes_in_force(&routes);
    let _ = registry.shard();
    assert!(!registry.render().contains("foregate_requests_total"));
}

#[test]
fn handshakes_are_counted_once_a_listener_has_any() {
    let registry = Registry::new(REASONS);
    let shard = registry.shard();
    let (secure, plain) = (registry.listener("secure"), registry.listener("plain"));
    shard.listener(plain).accepted.one();
    let cells = shard.listener(secure).tls();
    cells.done("TLS_AES_128_GCM_SHA256", false);
    cells.done("TLS_AES_128_GCM_SHA256", true);
    cells.done("TLS_AES_128_GCM_SHA256", true);
    cells.failed("unknown-name");
    let text = registry.render();
    let has = |sample: &str| assert!(text.lines().any(|line| line == sample), "{sample}\n{text}");
    has("foregate_tls_handshakes_total{listener=\"secure\",result=\"done\"} 3");
    has("foregate_tls_handshakes_total{listener=\"secure\",result=\"unknown-name\"} 1");
    has("foregate_tls_handshakes_total{listener=\"secure\",result=\"timeout\"} 0");
    let resumed =
        "listener=\"secure\",version=\"TLSv1.3\",cipher=\"TLS_AES_128_GCM_SHA256\",resumed=\"yes\"";
    has(&format!("foregate_tls_connections_total{{{resumed}}} 2"));
    assert!(!text.contains("foregate_tls_handshakes_total{listener=\"plain\""));
}
