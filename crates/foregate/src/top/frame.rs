//! What is shown of a gateway: computed from two looks at it, and drawn as text.

use super::scrape::Scrape;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What is known of a gateway at one moment.
#[derive(Debug)]
pub(crate) struct Look {
    /// When it was, in seconds of any clock.
    pub(crate) at: f64,
    pub(crate) metrics: Scrape,
    pub(crate) status: Value,
    pub(crate) upstreams: Value,
}

/// What rows are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Sort {
    /// Requests a second, most first.
    Rate,
    /// Errors a second, most first.
    Errors,
    /// Slowest first.
    Latency,
    /// By name.
    Name,
}

impl Sort {
    /// The next one in turn.
    pub(crate) fn next(self) -> Sort {
        match self {
            Sort::Rate => Sort::Errors,
            Sort::Errors => Sort::Latency,
            Sort::Latency => Sort::Name,
            Sort::Name => Sort::Rate,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Sort::Rate => "rate",
            Sort::Errors => "errors",
            Sort::Latency => "latency",
            Sort::Name => "name",
        }
    }
}

/// A route or an endpoint between two looks.
#[derive(Clone, PartialEq, Debug, Default)]
struct Row {
    name: String,
    /// What goes before the numbers of an endpoint.
    state: String,
    rate: f64,
    errors: f64,
    client_errors: f64,
    retries: f64,
    running: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// One picture.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Frame {
    head: String,
    overload: Option<String>,
    rate: f64,
    connections: f64,
    ejected: usize,
    reasons: Vec<(String, f64)>,
    routes: Vec<Row>,
    endpoints: Vec<Row>,
}

/// Reasons that are named in a picture.
const REASONS_MAX: usize = 6;

impl Frame {
    /// What went on between two looks.
    pub(crate) fn between(old: &Look, new: &Look) -> Frame {
        let seconds = (new.at - old.at).max(0.001);
        let delta = |name: &str, labels: &[(&str, &str)]| {
            let more = new.metrics.sum(name, labels) - old.metrics.sum(name, labels);
            // A gateway that was restarted counts from nothing.
            more.max(0.0) / seconds
        };
        let endpoints = endpoints(new, &delta);
        let mut reasons: BTreeMap<String, f64> = BTreeMap::new();
        for sample in new.metrics.of("foregate_outcomes_total") {
            let reason = sample.label("reason");
            let rate = delta("foregate_outcomes_total", &[("reason", reason)]);
            if reason != "proxied" && rate > 0.0 {
                reasons.insert(reason.to_owned(), rate);
            }
        }
        let mut reasons: Vec<(String, f64)> = reasons.into_iter().collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1));
        reasons.truncate(REASONS_MAX);
        let text = |key: &str| new.status[key].as_str().unwrap_or("-");
        let uptime = new.status["uptime_seconds"].as_u64().unwrap_or_default();
        Frame {
            head: format!(
                "foregate {}  {}  up {}",
                text("version"),
                text("state"),
                span(uptime)
            ),
            overload: overload(&new.status["overload"]),
            rate: delta("foregate_requests_total", &[]),
            connections: new.metrics.sum("foregate_connections", &[]),
            ejected: endpoints
                .iter()
                .filter(|row| row.state.starts_with("ejected"))
                .count(),
            reasons,
            routes: routes(old, new, &delta),
            endpoints,
        }
    }

    /// As text of so many columns and lines at most; `None` for all that there is.
    pub(crate) fn text(
        &self,
        sort: Sort,
        filter: &str,
        columns: usize,
        lines: Option<usize>,
    ) -> String {
        let mut out = vec![self.head.clone()];
        out.push(format!(
            "{:.1} req/s  {} connections  {} endpoints ejected  overload {}",
            self.rate,
            self.connections,
            self.ejected,
            self.overload.as_deref().unwrap_or("-"),
        ));
        if !self.reasons.is_empty() {
            let each: Vec<String> = (self.reasons.iter())
                .map(|(reason, rate)| format!("{reason} {rate:.1}/s"))
                .collect();
            out.push(format!("why  {}", each.join("  ")));
        }
        let sought = match filter {
            "" => String::new(),
            filter => format!("  only {filter}"),
        };
        out.push(format!("by {}{sought}", sort.name()));
        let rooms = lines.map(|lines| lines.saturating_sub(out.len() + 4));
        let routes = chosen(&self.routes, sort, filter, rooms.map(|lines| lines / 2));
        let left = rooms.map(|lines| lines.saturating_sub(routes.len()));
        let endpoints = chosen(&self.endpoints, sort, filter, left);
        let cells = |row: &&Row| {
            vec![
                row.name.clone(),
                rate(row.rate),
                rate(row.client_errors),
                rate(row.errors),
                millis(row.p50_ms),
                millis(row.p99_ms),
            ]
        };
        out.push(String::new());
        let head = ["ROUTE", "REQ/S", "4XX/S", "5XX/S", "P50 MS", "P99 MS"];
        out.extend(table(&head, 1, routes.iter().map(cells).collect()));
        let cells = |row: &&Row| {
            vec![
                row.name.clone(),
                row.state.clone(),
                rate(row.rate),
                rate(row.errors),
                rate(row.retries),
                row.running.to_string(),
                millis(row.p50_ms),
            ]
        };
        out.push(String::new());
        let head = [
            "ENDPOINT", "STATE", "REQ/S", "ERR/S", "RETRY/S", "RUN", "AVG MS",
        ];
        out.extend(table(&head, 2, endpoints.iter().map(cells).collect()));
        out.truncate(lines.unwrap_or(usize::MAX));
        let cut = |line: String| -> String {
            let shown: String = line.chars().take(columns).collect();
            shown.trim_end().to_owned() + "\n"
        };
        out.into_iter().map(cut).collect()
    }

    /// For programs.
    pub(crate) fn json(&self, sort: Sort, filter: &str) -> Value {
        let rows = |rows: &[Row], is_route: bool| -> Vec<Value> {
            let told = |row: &&Row| {
                let mut told = json!({
                    "name": row.name,
                    "requests_per_second": row.rate,
                    "errors_per_second": row.errors,
                });
                if is_route {
                    told["client_errors_per_second"] = json!(row.client_errors);
                    told["p50_ms"] = json!(row.p50_ms);
                    told["p99_ms"] = json!(row.p99_ms);
                } else {
                    told["state"] = json!(row.state);
                    told["retries_per_second"] = json!(row.retries);
                    told["in_flight"] = json!(row.running);
                    told["mean_ms"] = json!(row.p50_ms);
                }
                told
            };
            chosen(rows, sort, filter, None).iter().map(told).collect()
        };
        let reasons: serde_json::Map<String, Value> = (self.reasons.iter())
            .map(|(reason, rate)| (reason.clone(), json!(rate)))
            .collect();
        json!({
            "requests_per_second": self.rate,
            "connections": self.connections,
            "endpoints_ejected": self.ejected,
            "overload": self.overload,
            "reasons_per_second": reasons,
            "routes": rows(&self.routes, true),
            "endpoints": rows(&self.endpoints, false),
        })
    }
}

/// How a gateway bears its load, as far as it tells.
fn overload(told: &Value) -> Option<String> {
    let rung = told.as_str().or_else(|| told["rung"].as_str())?;
    Some(rung.to_owned())
}

fn routes(old: &Look, new: &Look, delta: Delta<'_>) -> Vec<Row> {
    let mut rows: BTreeMap<(String, String), Row> = BTreeMap::new();
    for sample in new.metrics.of("foregate_requests_total") {
        let (site, route) = (sample.label("site"), sample.label("route"));
        rows.entry((site.to_owned(), route.to_owned()))
            .or_insert_with(|| {
                let of_class = |class: &str| {
                    let labels = [("site", site), ("route", route), ("class", class)];
                    delta("foregate_requests_total", &labels)
                };
                let latencies = Latencies::between(old, new, site, route);
                Row {
                    name: format!("{site} {route}"),
                    rate: delta(
                        "foregate_requests_total",
                        &[("site", site), ("route", route)],
                    ),
                    client_errors: of_class("4xx"),
                    errors: of_class("5xx"),
                    p50_ms: latencies.quantile_ms(0.5),
                    p99_ms: latencies.quantile_ms(0.99),
                    ..Row::default()
                }
            });
    }
    rows.into_values().collect()
}

fn endpoints(new: &Look, delta: Delta<'_>) -> Vec<Row> {
    let upstreams = new.upstreams["upstreams"].as_array();
    let mut rows = Vec::new();
    for upstream in upstreams.map_or(&[][..], Vec::as_slice) {
        let name = upstream["name"].as_str().unwrap_or("-");
        let all = upstream["endpoints"].as_array();
        for one in all.map_or(&[][..], Vec::as_slice) {
            let endpoint = one["endpoint"].as_str().unwrap_or("-");
            let labels = [("upstream", name), ("endpoint", endpoint)];
            let of = |what: &str| delta(&format!("foregate_endpoint_{what}"), &labels);
            let answers = of("response_seconds_count");
            rows.push(Row {
                name: format!("{name} {endpoint}"),
                state: state(one),
                rate: of("requests_total"),
                errors: of("failures_total"),
                retries: of("retries_total"),
                running: one["in_flight"].as_u64().unwrap_or_default(),
                p50_ms: (answers > 0.0).then(|| of("response_seconds_sum") * 1000.0 / answers),
                ..Row::default()
            });
        }
    }
    rows
}

fn state(endpoint: &Value) -> String {
    let text = |key: &str| endpoint[key].as_str().unwrap_or("-");
    match (text("state"), endpoint["ejected_for_ms"].as_u64()) {
        ("enabled", Some(ms)) => format!("ejected {}s", ms.div_ceil(1000)),
        ("enabled", None) if text("health") == "unhealthy" => "unhealthy".to_owned(),
        ("enabled", None) if endpoint["address"].is_null() => "unresolved".to_owned(),
        ("enabled", None) => "ok".to_owned(),
        (state, _) => state.to_owned(),
    }
}

/// How much more a second there is of what a name and labels tell.
type Delta<'d> = &'d dyn Fn(&str, &[(&str, &str)]) -> f64;

/// How many requests took up to how long.
struct Latencies(Vec<(f64, f64)>);

impl Latencies {
    fn between(old: &Look, new: &Look, site: &str, route: &str) -> Latencies {
        const BUCKETS: &str = "foregate_request_seconds_bucket";
        let of = |look: &Look| -> BTreeMap<String, f64> {
            let meant = |sample: &&super::scrape::Sample| {
                sample.label("site") == site && sample.label("route") == route
            };
            let samples = look.metrics.of(BUCKETS).iter().filter(meant);
            samples
                .map(|one| (one.label("le").to_owned(), one.value))
                .collect()
        };
        let before = of(old);
        let mut buckets: Vec<(f64, f64)> = (of(new).into_iter())
            .filter_map(|(bound, count)| {
                let earlier = before.get(&bound).copied().unwrap_or_default();
                let bound = match &*bound {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().ok()?,
                };
                Some((bound, (count - earlier).max(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Latencies(buckets)
    }

    /// Within a bucket they are taken as spread evenly; beyond the last bound, as the bound.
    fn quantile_ms(&self, part: f64) -> Option<f64> {
        let total = self
            .0
            .last()
            .map(|(_, count)| *count)
            .filter(|count| *count > 0.0)?;
        let (mut bound_before, mut count_before) = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= total * part {
                if bound.is_infinite() {
                    return Some(bound_before * 1000.0);
                }
                let within = (total * part - count_before) / (count - count_before).max(1.0);
                return Some(
                    (bound_before + (bound - bound_before) * within.clamp(0.0, 1.0)) * 1000.0,
                );
            }
            (bound_before, count_before) = (*bound, *count);
        }
        None
    }
}

/// The rows that are shown, in their order.
fn chosen<'r>(rows: &'r [Row], sort: Sort, filter: &str, count_max: Option<usize>) -> Vec<&'r Row> {
    let filter = filter.to_lowercase();
    let meant =
        |row: &&Row| row.name.to_lowercase().contains(&filter) || row.state.contains(&*filter);
    let mut chosen: Vec<&Row> = rows.iter().filter(meant).collect();
    let latency = |row: &Row| row.p99_ms.or(row.p50_ms).unwrap_or(-1.0);
    chosen.sort_by(|a, b| {
        let order = match sort {
            Sort::Rate => b.rate.total_cmp(&a.rate),
            Sort::Errors => b.errors.total_cmp(&a.errors),
            Sort::Latency => latency(b).total_cmp(&latency(a)),
            Sort::Name => std::cmp::Ordering::Equal,
        };
        order.then_with(|| a.name.cmp(&b.name))
    });
    chosen.truncate(count_max.unwrap_or(usize::MAX));
    chosen
}

/// Columns as wide as they need to be; numbers, from `texts` on, at their right ends.
fn table(head: &[&str], texts: usize, rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..all[0].len())
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells: Vec<String> = cells
            .map(|(at, (cell, &width))| match at < texts {
                true => format!("{cell:<width$}"),
                false => format!("{cell:>width$}"),
            })
            .collect();
        cells.join("  ")
    };
    all.iter().map(line).collect()
}

fn rate(rate: f64) -> String {
    if rate == 0.0 {
        "0".to_owned()
    } else {
        format!("{rate:.1}")
    }
}

fn millis(time: Option<f64>) -> String {
    time.map_or("-".to_owned(), |ms| format!("{ms:.1}"))
}

fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at: f64, factor: f64) -> Look {
        let bucket = |bound: &str, count: f64| {
            format!(
                "foregate_request_seconds_bucket{{site=\"a\",route=\"r\",le=\"{bound}\"}} {}\n",
                count * factor
            )
        };
        let text = format!(
            "foregate_requests_total{{site=\"a\",route=\"r\",class=\"2xx\"}} {}\nforegate_requests_total{{site=\"a\",route=\"r\",class=\"5xx\"}} {}\nforegate_requests_total{{site=\"b\",route=\"s\",class=\"4xx\"}} {}\nforegate_outcomes_total{{reason=\"proxied\"}} 1\nforegate_outcomes_total{{reason=\"no-route\"}} {}\nforegate_connections{{listener=\"public\"}} 3\nforegate_endpoint_requests_total{{upstream=\"app\",endpoint=\"10.0.0.1:80\"}} {}\nforegate_endpoint_response_seconds_sum{{upstream=\"app\",endpoint=\"10.0.0.1:80\"}} {}\nforegate_endpoint_response_seconds_count{{upstream=\"app\",endpoint=\"10.0.0.1:80\"}} {}\n{}{}{}",
            80.0 * factor,
            20.0 * factor,
            10.0 * factor,
            10.0 * factor,
            100.0 * factor,
            0.5 * factor,
            100.0 * factor,
            bucket("0.01", 50.0),
            bucket("0.1", 100.0),
            bucket("+Inf", 100.0),
        );
        Look {
            at,
            metrics: Scrape::parse(&text),
            status: json!({ "version": "1", "state": "serving", "uptime_seconds": 3700 }),
            upstreams: json!({ "upstreams": [{ "name": "app", "endpoints": [
                { "endpoint": "10.0.0.1:80", "address": "10.0.0.1:80", "state": "enabled", "in_flight": 2, "ejected_for_ms": null, "health": "healthy" },
                { "endpoint": "10.0.0.2:80", "address": "10.0.0.2:80", "state": "enabled", "in_flight": 0, "ejected_for_ms": 1500, "health": "unknown" },
            ] }] }),
        }
    }

    fn frame() -> Frame {
        Frame::between(&look(1.0, 1.0), &look(3.0, 2.0))
    }

    #[test]
    fn a_frame_tells_what_went_on_between_two_looks() {
        let expected = "\
foregate 1  serving  up 1h1m
55.0 req/s  3 connections  1 endpoints ejected  overload -
why  no-route 5.0/s
by rate

ROUTE  REQ/S  4XX/S  5XX/S  P50 MS  P99 MS
a r     50.0      0   10.0    10.0    98.2
b s      5.0    5.0      0       -       -

ENDPOINT         STATE       REQ/S  ERR/S  RETRY/S  RUN  AVG MS
app 10.0.0.1:80  ok           50.0      0        0    2     5.0
app 10.0.0.2:80  ejected 2s      0      0        0    0       -
";
        assert_eq!(frame().text(Sort::Rate, "", 120, None), expected);
    }

    #[test]
    fn rows_are_sorted_filtered_and_cut() {
        let first = |sort: Sort, filter: &str| {
            let told = frame().json(sort, filter);
            told["endpoints"][0]["name"]
                .as_str()
                .unwrap_or("")
                .to_owned()
        };
        assert_eq!(first(Sort::Name, ""), "app 10.0.0.1:80");
        assert_eq!(first(Sort::Name, "ejected"), "app 10.0.0.2:80");
        assert_eq!(first(Sort::Errors, "nobody"), "");
        let text = frame().text(Sort::Latency, "app", 20, Some(9));
        assert_eq!(text.lines().count(), 9, "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 20),
            "{text}"
        );
    }

    #[test]
    fn a_gateway_that_was_restarted_has_no_negative_rates() {
        let frame = Frame::between(&look(1.0, 5.0), &look(2.0, 1.0));
        assert_eq!(frame.rate, 0.0);
        assert_eq!(
            frame.json(Sort::Rate, "")["routes"][0]["p50_ms"],
            Value::Null
        );
    }
}
