//! The table of keys and the readers: every default is valid, and the readers take what the table says.

use super::{Default, Kind, Section};
use crate::schema::tests::misfits;
use crate::sections::ROOT;
use crate::{Format, MemoryFiles, parse_str, render};
use serde_json::{Map, Value, json};

/// Every section and key, by the section's heading.
pub(crate) fn all_keys() -> Vec<(&'static str, &'static str)> {
    let mut sections: Vec<&'static Section> = vec![];
    collect(&ROOT, &mut sections);
    sections
        .iter()
        .flat_map(|section| section.keys.iter().map(|key| (section.heading, key.name)))
        .collect()
}

fn collect(section: &'static Section, sections: &mut Vec<&'static Section>) {
    if !sections.iter().any(|known| std::ptr::eq(*known, section)) {
        sections.push(section);
        section
            .keys
            .iter()
            .for_each(|key| collect_kind(key.kind, sections));
    }
}

fn collect_kind(kind: Kind, sections: &mut Vec<&'static Section>) {
    match kind {
        Kind::Table(section) => collect(section, sections),
        Kind::List(item) | Kind::Map(_, item) => collect_kind(*item, sections),
        Kind::Either(kinds) => kinds.iter().for_each(|kind| collect_kind(*kind, sections)),
        _ => {}
    }
}

/// A value of a section of this heading, in a configuration that is faultless but for it.
fn configuration(heading: &str, section: Value) -> Value {
    let server = json!({ "address": "10.0.0.1:80", "labels": { "app": "v2" } });
    let upstream = |section: Value| merged(json!({ "servers": [server] }), section);
    let mut app = upstream(json!({}));
    let mut route = json!({ "path": { "prefix": "/api" }, "upstream": "app" });
    let mut root = json!({ "forwarding": { "trusted_proxies": ["10.0.0.0/8"] } });
    match heading {
        "" => root = merged(root, section),
        "[listeners.<name>]" => {
            root["listeners"] =
                json!({ "public": merged(json!({ "address": "0.0.0.0:80" }), section) })
        }
        "[tls]" => root["tls"] = section,
        "[certificates.<name>]" => root["certificates"] = json!({ "app": section }),
        "[acme]" => root["acme"] = section,
        "[acme.eab]" => {
            let whole = json!({ "key_id": "a", "hmac_key": "YWJj" });
            root["acme"] = json!({ "eab": merged(whole, section) });
        }
        "[acme.on_demand]" => {
            let whole = json!({ "ask": "http://127.0.0.1/may" });
            root["acme"] = json!({ "on_demand": merged(whole, section) });
        }
        "[acme.dns]" => root["acme"] = json!({ "dns": section }),
        "[acme.dns.rfc2136]" => {
            let whole = json!({ "server": "a:53", "key_name": "a", "key_secret": "YWJj" });
            root["acme"] = json!({ "dns": { "rfc2136": merged(whole, section) } });
        }
        "[client.http2]" => root["client"] = json!({ "http2": section }),
        "hsts = { ... }" | "client_certificate = { ... }" => {
            let key = heading.split(' ').next().unwrap();
            let section = match key {
                "hsts" => section,
                _ => merged(json!({ "ca_file": "ca.pem" }), section),
            };
            root["listeners"] = json!({ "app": { "address": "0.0.0.0:443", "tls": true } });
            root["sites"] = json!({ "app.example": { "upstream": "app", key: section } });
        }
        "[upstreams.<name>.sticky]" => app["sticky"] = section,
        "[upstreams.<name>.tls]" => app["tls"] = section,
        "[upstreams.<name>.discovery]" => app["discovery"] = section,
        "[upstreams.<name>.discovery.dns]" => {
            let whole = merged(json!({ "name": "app.internal:80" }), section);
            app["discovery"] = json!({ "dns": whole });
        }
        "[upstreams.<name>.discovery.srv]" => {
            let whole = merged(json!({ "name": "_http._tcp.app.internal" }), section);
            app["discovery"] = json!({ "srv": whole });
        }
        "[upstreams.<name>.discovery.consul]" => {
            let whole = merged(json!({ "service": "app" }), section);
            app["discovery"] = json!({ "consul": whole });
        }
        "[upstreams.<name>.discovery.consul.tls]" => {
            app["discovery"] = json!({ "consul": { "service": "app", "tls": section } });
        }
        "[upstreams.<name>.discovery.docker]" => {
            let whole = merged(json!({ "label": "app" }), section);
            app["discovery"] = json!({ "docker": whole });
        }
        "[admin]" => {
            root["admin"] = section;
            root["certificates"] = json!({ "a": { "certificate": "a.pem", "key": "a.key" } });
            root["listeners"] = json!({ "public": { "address": "0.0.0.0:81" } });
        }
        "[access_log]" => root["access_log"] = section,
        "[log]" => root["log"] = section,
        "[client]" => root["client"] = section,
        "[overload]" => root["overload"] = section,
        "[paths]" => root["paths"] = section,
        "[forwarding]" => root["forwarding"] = section,
        "[sites.\"<host>\"]" => {
            root["certificates"] = json!({ "app": { "folder": "certs" } });
            root["listeners"] = json!({ "app": { "address": "0.0.0.0:443", "tls": true } });
            root["sites"] = json!({ "app.example": merged(json!({ "upstream": "app" }), section) });
        }
        "[[sites.\"<host>\".routes]]" => route = section,
        "path = { ... }" => route["path"] = section,
        "redirect = { ... }" => {
            route = json!({ "redirect": merged(json!({ "to": "/" }), section) })
        }
        "respond = { ... }" => route = json!({ "respond": section }),
        "replace_path = { ... }" => {
            route["replace_path"] =
                merged(json!({ "regex": "^/(?<name>.)(.)", "with": "/" }), section);
        }
        "split = [{ ... }]" => {
            let target = merged(json!({ "upstream": "app" }), section);
            route = json!({ "split": [target, { "upstream": "other" }] });
        }
        "mirror = { ... }" => {
            let mirror = merged(json!({ "upstream": "app" }), section);
            route = json!({ "upstream": "other", "mirror": mirror });
        }
        "request_headers = { ... }" => route["request_headers"] = section,
        "[sites.\"<host>\".routes.timeouts]" => route["timeouts"] = section,
        "[upstreams.<name>]" => app = upstream(section),
        "servers = [{ ... }]" => {
            let server = merged(json!({ "address": "10.0.0.1:80" }), section);
            app["servers"] = json!([server, "10.0.0.2:80"]);
        }
        "[upstreams.<name>.timeouts]" => app["timeouts"] = section,
        "[upstreams.<name>.response]" => app["response"] = section,
        "[upstreams.<name>.ejection]" => app["ejection"] = section,
        "[upstreams.<name>.probe]" => app["probe"] = section,
        "[upstreams.<name>.retry]" => app["retry"] = section,
        "[upstreams.<name>.hedge]" => app["hedge"] = section,
        "[upstreams.<name>.queue]" => {
            app["requests_max"] = json!(10);
            app["queue"] = section;
        }
        "[upstreams.<name>.adaptive_concurrency]" => app["adaptive_concurrency"] = section,
        "[upstreams.<name>.circuit]" => app["circuit"] = section,
        "body = { ... }" => {
            app["probe"] = json!({ "body": merged(json!({ "regex": "ok" }), section) })
        }
        other => panic!("this test does not know the section {other}"),
    }
    if heading != "[sites.\"<host>\"]" && root.get("sites").is_none() {
        root["sites"] = json!({ "app.example": { "routes": [route] } });
    }
    if root.get("upstreams").is_none() {
        root["upstreams"] = json!({ "app": app, "other": { "servers": ["10.0.0.9:80"] } });
    }
    root
}

fn merged(mut base: Value, over: Value) -> Value {
    let (Some(members), Value::Object(over)) = (base.as_object_mut(), over) else {
        panic!("sections are tables");
    };
    members.extend(over);
    base
}

/// Values that the kind takes.
fn takes(kind: Kind) -> Vec<Value> {
    let off = |mut values: Vec<Value>, off: bool| {
        values.extend(off.then(|| json!("off")));
        values
    };
    match kind {
        Kind::Boolean => vec![json!(true), json!(false)],
        Kind::Integer { min, max } => vec![json!(min), json!(max)],
        Kind::Count {
            min,
            max,
            off: or_off,
        } => off(vec![json!(min), json!(max)], or_off),
        Kind::Duration {
            min_ms,
            off: or_off,
        } => off(vec![json!(format!("{min_ms}ms")), json!("1h30m")], or_off),
        Kind::Size { max, off: or_off } => off(vec![json!("1B"), json!(format!("{max}B"))], or_off),
        Kind::Choice(words) => words.iter().map(|(word, _)| json!(word)).collect(),
        Kind::Text(syntax) => vec![json!(syntax.example)],
        Kind::List(item) => {
            let mut lists: Vec<Value> =
                takes(*item).into_iter().map(|item| json!([item])).collect();
            lists.push(json!([]));
            lists
        }
        Kind::Map(names, value) => takes(*value)
            .into_iter()
            .map(|value| json!({ names.example: value }))
            .collect(),
        Kind::Table(section) => vec![whole(section)],
        Kind::Either(kinds) => kinds.iter().flat_map(|kind| takes(*kind)).collect(),
    }
}

/// A table with its required keys.
fn whole(section: &Section) -> Value {
    match section.heading {
        "path = { ... }" => return json!({ "prefix": "/api" }),
        "[[sites.\"<host>\".routes]]" => return json!({ "path": "/api", "upstream": "app" }),
        _ => {}
    }
    let required = section
        .keys
        .iter()
        .filter(|key| matches!(key.default, Default::Required));
    Value::Object(
        required
            .map(|key| (key.name.to_owned(), takes(key.kind).remove(0)))
            .collect::<Map<_, _>>(),
    )
}

/// Values that the kind does not take.
fn refuses(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Boolean => vec![json!("true"), json!(1), json!([])],
        Kind::Integer { min, max } => vec![
            json!(min - 1),
            json!(max + 1),
            json!("1"),
            json!(1.5),
            json!("off"),
        ],
        Kind::Count { min, max, off } => {
            let mut values = vec![
                json!(i64::from(min) - 1),
                json!(i64::from(max) + 1),
                json!("1"),
                json!(true),
            ];
            values.extend((!off).then(|| json!("off")));
            values
        }
        Kind::Duration { min_ms, off } => {
            let mut values = vec![json!(10), json!("10"), json!("366d"), json!(null)];
            values.extend((min_ms > 0).then(|| json!("0s")));
            values.extend((!off).then(|| json!("off")));
            values
        }
        Kind::Size { max, off } => {
            let mut values = vec![
                json!(10),
                json!("10"),
                json!("0B"),
                json!(format!("{}B", max + 1)),
            ];
            values.extend((!off).then(|| json!("off")));
            values
        }
        Kind::Choice(_) => vec![json!("Off"), json!(false), json!({})],
        Kind::Text(_) => vec![json!(1), json!(["x"])],
        Kind::List(item) => {
            let mut lists: Vec<Value> = refuses(*item)
                .into_iter()
                .map(|item| json!([item]))
                .collect();
            lists.push(json!("x"));
            lists
        }
        Kind::Map(names, value) => {
            let mut maps: Vec<Value> = refuses(*value)
                .into_iter()
                .map(|value| json!({ names.example: value }))
                .collect();
            maps.push(json!("x"));
            maps
        }
        Kind::Table(_) => vec![json!(1), json!({ "nobody_knows": 1 })],
        Kind::Either(_) => vec![json!(null), json!(1.5)],
    }
}

/// Keys that exclude others, or need them: the sections with the key in its place.
fn in_place(heading: &str, key: &str, value: Value) -> Option<Value> {
    let section = match (heading, key) {
        ("[listeners.<name>]", "addresses") => json!({ "addresses": value, "address": null }),
        ("[[sites.\"<host>\".routes]]", "redirect" | "respond" | "split") => json!({ key: value }),
        ("[[sites.\"<host>\".routes]]", "split_by") => {
            json!({ "split": [{ "upstream": "app" }], key: value })
        }
        ("[[sites.\"<host>\".routes]]", "mirror") => json!({ "upstream": "other", key: value }),
        ("[[sites.\"<host>\".routes]]", "upstream") => json!({ "upstream": value }),
        ("[[sites.\"<host>\".routes]]", "path") => json!({ "path": value, "upstream": "app" }),
        ("[[sites.\"<host>\".routes]]", _) => {
            json!({ "path": "/api", "upstream": "app", key: value })
        }
        ("[listeners.<name>]", "tls") => json!({ key: value }),
        ("[listeners.<name>]", "handshakes_max") => json!({ key: value, "tls": true }),
        ("[listeners.<name>]", "upstream") => json!({ key: value, "mode": "tcp" }),
        ("[listeners.<name>]", "sni") => json!({ key: value, "mode": "tls-passthrough" }),
        ("[listeners.<name>]", "mode") => match value.as_str() {
            Some("tcp") => json!({ key: value, "upstream": "app" }),
            Some("tls-passthrough") => json!({ key: value, "sni": { "a.example": "app" } }),
            _ => json!({ key: value }),
        },
        ("[tls]", "default_certificate") | ("[admin]", "certificate") => return None,
        ("[upstreams.<name>]", "queue") => json!({ key: value, "requests_max": 10 }),
        ("[upstreams.<name>.adaptive_concurrency]", "initial") => {
            json!({ key: value, "min": 1, "max": 1_000_000 })
        }
        ("[upstreams.<name>.adaptive_concurrency]", "min") => {
            json!({ key: value, "initial": value, "max": 1_000_000 })
        }
        ("[upstreams.<name>.adaptive_concurrency]", "max") => {
            json!({ key: value, "initial": 1, "min": 1 })
        }
        ("[certificates.<name>]", "folder") => json!({ key: value }),
        ("[certificates.<name>]", _) => {
            let whole = json!({ "certificate": "a.pem", "key": "a.key" });
            merged(whole, json!({ key: value }))
        }
        ("[admin]", "keep_applied") => json!({ key: value, "history_file": "history.json" }),
        ("[admin]", "address") => {
            json!({ key: value, "token": "0123456789abcdef", "certificate": "a" })
        }
        ("[acme]", "challenge") => json!({ key: value, "dns": { "hook": ["x"] } }),
        ("[acme]", "dns" | "on_demand") => return None,
        ("[acme.dns]", "propagation_timeout") => json!({ "hook": ["x"], key: value }),
        ("[client.http2]", "connection_window_bytes") if value == json!("1B") => return None,
        ("[upstreams.<name>]", "hash_by" | "hash_load_max") => {
            json!({ key: value, "balance": "hash-ring" })
        }
        ("[upstreams.<name>]", "primary_fit_min") => {
            let backup = json!({ "address": "10.0.0.2:80", "backup": true });
            json!({ key: value, "servers": ["10.0.0.1:80", backup] })
        }
        ("[upstreams.<name>]", "streams_per_connection_max") => {
            json!({ key: value, "protocol": "h2" })
        }
        (
            "[upstreams.<name>.tls]" | "[upstreams.<name>.discovery.consul.tls]",
            "client_certificate" | "client_key",
        ) => {
            let whole = json!({ "client_certificate": "a.pem", "client_key": "a.key" });
            merged(whole, json!({ key: value }))
        }
        ("[upstreams.<name>]", "probe") => json!({ key: value }),
        ("[upstreams.<name>.probe]", "type") => match value.as_str() {
            // These need `tls` or `protocol` of the upstream.
            Some("tls" | "grpc") => return None,
            _ => json!({ key: value }),
        },
        ("[upstreams.<name>.probe]", "service") => return None,
        ("[upstreams.<name>.probe]", "statuses") if value == json!([]) => return None,
        ("[upstreams.<name>.probe]", "interval") => {
            json!({ "failing_interval": "10ms", key: value })
        }
        ("[upstreams.<name>.probe]", "failing_interval") => {
            json!({ "interval": "365d", key: value })
        }
        ("[upstreams.<name>]", "discovery") => return None,
        ("[upstreams.<name>.discovery]", "endpoints_max") => json!({ "file": "x", key: value }),
        (_, "ttl_min") => json!({ "ttl_max": "365d", key: value }),
        (_, "ttl_max") => json!({ "ttl_min": "100ms", key: value }),
        ("[upstreams.<name>.ejection]", "time_max") => json!({ "base_time": "1ms", key: value }),
        ("[upstreams.<name>.ejection]", "base_time") => json!({ "time_max": "365d", key: value }),
        _ => json!({ key: value }),
    };
    // These would have to agree with names and files elsewhere; stories of their own test them.
    let is_elsewhere = matches!(
        (heading, key),
        (
            "",
            "import" | "listeners" | "sites" | "upstreams" | "certificates"
        )
    );
    (!is_elsewhere).then_some(section)
}

fn load(heading: &str, section: Value) -> (crate::Outcome, Value) {
    let mut tree = configuration(heading, section);
    // A null marks the key of the surroundings that must not stand.
    if let Some(public) = tree
        .pointer_mut("/listeners/public")
        .and_then(Value::as_object_mut)
    {
        public.retain(|name, value| name != "address" || !value.is_null());
    }
    let text = serde_json::to_string_pretty(&tree).unwrap();
    (
        parse_str("x.json", &text, Format::Json, &MemoryFiles::default()),
        tree,
    )
}

fn each_key(mut check: impl FnMut(&str, &crate::keys::Key)) {
    let mut sections = vec![];
    collect(&ROOT, &mut sections);
    for section in sections {
        section
            .keys
            .iter()
            .for_each(|key| check(section.heading, key));
    }
}

#[test]
fn readers_and_schema_take_what_the_table_says() {
    let schema: Value = serde_json::from_str(&crate::schema()).unwrap();
    let mut taken = 0;
    each_key(|heading, key| {
        for value in takes(key.kind) {
            let Some(section) = in_place(heading, key.name, value) else {
                continue;
            };
            // An empty list of these means that something is missing.
            if matches!(
                key.name,
                "servers" | "addresses" | "routes" | "hook" | "protocols" | "split"
            ) && section[key.name] == json!([])
            {
                continue;
            }
            let (outcome, tree) = load(heading, section);
            let errors = outcome
                .diagnostics
                .iter()
                .any(|d| d.severity() == crate::Severity::Error);
            assert!(
                !errors,
                "{heading} {}: {tree}\n{}",
                key.name,
                render(&outcome, false)
            );
            assert_eq!(
                misfits(&schema, &tree, ""),
                Vec::<String>::new(),
                "{heading} {}",
                key.name
            );
            taken += 1;
        }
    });
    assert!(taken > 150, "{taken}");
}

#[test]
fn readers_refuse_what_the_table_refuses() {
    let mut refused = 0;
    each_key(|heading, key| {
        for value in refuses(key.kind) {
            let Some(section) = in_place(heading, key.name, value) else {
                continue;
            };
            let (outcome, tree) = load(heading, section);
            assert!(outcome.has_errors(), "{heading} {}: {tree}", key.name);
            refused += 1;
        }
    });
    assert!(refused > 250, "{refused}");
}

#[test]
fn defaults_mean_what_they_say() {
    // What is written out means what is left out.
    each_key(|heading, key| {
        let default = match key.default {
            Default::Text(text) => json!(text),
            Default::Integer(number) => json!(number),
            Default::Boolean(boolean) => json!(boolean),
            Default::Empty => match key.kind {
                Kind::List(_) => json!([]),
                _ => json!({}),
            },
            Default::Absent(_) | Default::Required => return,
        };
        // A site must serve something, and the full set of trusted proxies is part of the surroundings.
        if matches!(
            key.name,
            "routes" | "trusted_proxies" | "forwarding" | "upstreams"
        ) {
            return;
        }
        let Some(section) = in_place(heading, key.name, default) else {
            return;
        };
        let mut without = section.clone();
        without.as_object_mut().unwrap().remove(key.name);
        let (written, tree) = load(heading, section);
        let (left_out, _) = load(heading, without);
        assert!(
            written.settings.is_some(),
            "{heading} {}: {tree}\n{}",
            key.name,
            render(&written, false)
        );
        assert!(
            written.settings == left_out.settings,
            "{heading} {}",
            key.name
        );
    });
}
