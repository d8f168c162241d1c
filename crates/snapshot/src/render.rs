//! Explanations for people.

use crate::explain::{
    CandidateNote, CertificateStanding, Explanation, Outcome, ProxyNote, TlsNote,
};
use foregate_config::is_credential;
use foregate_route::{HostMatch, PathMatch, RouteSpec, SiteSpec, ValueMatch};
use std::fmt;

/// More sites that serve other hosts are not listed one by one.
const SITES_SHOWN_MAX: usize = 10;

/// What a site, or one of its routes, asks of a request.
pub(crate) fn conditions(site: &SiteSpec, route: Option<u32>) -> String {
    match route.and_then(|route| site.routes.get(route as usize)) {
        Some(route) => route_conditions(route),
        None => {
            let hosts: Vec<String> = site.hosts.iter().map(host).collect();
            format!("host {}", hosts.join(" or "))
        }
    }
}

fn host(host: &HostMatch) -> String {
    match host {
        HostMatch::Exact(host) => host.clone(),
        HostMatch::Wildcard(suffix) => format!("*.{suffix}"),
        HostMatch::Any => "*".to_owned(),
    }
}

fn route_conditions(route: &RouteSpec) -> String {
    let mut parts = vec![match &route.path {
        PathMatch::Exact(path) => format!("path exactly {path}"),
        PathMatch::Prefix(path) => format!("path prefix {path}"),
        PathMatch::Glob(path) => format!("path glob {path}"),
        PathMatch::Regex(path) => format!("path regex {path}"),
    }];
    if !route.methods.is_empty() {
        parts.push(format!("method {}", route.methods.join(" or ")));
    }
    for (name, test) in &route.headers {
        let name = name.as_str();
        parts.push(match is_credential(name) {
            true => format!("header {}", kind_of_value(name, test)),
            false => format!("header {}", value(name, test)),
        });
    }
    for (name, test) in &route.query {
        parts.push(format!("query {}", value(name, test)));
    }
    if !route.clients.is_empty() {
        let ranges: Vec<String> = route.clients.iter().map(ToString::to_string).collect();
        parts.push(format!("client in {}", ranges.join(" or ")));
    }
    if route.priority != 0 {
        parts.push(format!("priority {}", route.priority));
    }
    parts.join(", ")
}

/// What is asked of a value that is nobody's business.
fn kind_of_value(name: &str, test: &ValueMatch) -> String {
    match test {
        ValueMatch::Exact(_) => format!("{name} = …"),
        ValueMatch::Regex(_) => format!("{name} ~ …"),
        ValueMatch::Present | ValueMatch::Absent => value(name, test),
    }
}

fn value(name: &str, test: &ValueMatch) -> String {
    match test {
        ValueMatch::Exact(text) => format!("{name} = {text}"),
        ValueMatch::Present => format!("{name} present"),
        ValueMatch::Absent => format!("{name} absent"),
        ValueMatch::Regex(pattern) => format!("{name} ~ {pattern}"),
    }
}

/// One line: a name in a column of its own, and what is to be said.
fn line(f: &mut fmt::Formatter<'_>, name: &str, said: &str) -> fmt::Result {
    writeln!(f, "{name:<12}{said}")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "request", &self.request)?;
        let guess = if self.listener_assumed {
            " (assumed: none listens on that port)"
        } else {
            ""
        };
        line(f, "listener", &format!("{}{guess}", self.listener))?;
        let claimed = if self.client_claimed {
            " (named by a trusted proxy)"
        } else {
            ""
        };
        line(f, "client", &format!("{}{claimed}", self.client))?;
        if let Some(path) = &self.path {
            let note = match (path.changed, path.matched == path.received) {
                (true, _) => format!(
                    " (received as {}; backends are sent this form)",
                    path.received
                ),
                (false, false) => format!(" (received and forwarded as {})", path.received),
                (false, true) => String::new(),
            };
            line(f, "path", &format!("{}{note}", path.matched))?;
        }
        for repeated in &self.repeated {
            let said = format!(
                "{} comes {} times: the first counts",
                repeated.condition, repeated.times
            );
            line(f, "repeated", &said)?;
        }
        self.fmt_skipped(f)?;
        if let Some(site) = &self.site {
            line(f, "site", site)?;
        }
        if let (Some(route), Some(conditions)) = (&self.route, &self.conditions) {
            line(f, "route", &format!("{route} ({conditions})"))?;
        }
        if let Some(tls) = &self.tls {
            fmt_tls(tls, f)?;
        }
        self.fmt_outcome(f)
    }
}

impl Explanation {
    fn fmt_skipped(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sites = 0;
        for skipped in &self.skipped {
            sites += usize::from(skipped.route.is_none());
            if skipped.route.is_none() && sites > SITES_SHOWN_MAX {
                continue;
            }
            let what = match &skipped.route {
                Some(route) => format!("route {route}"),
                None => format!("site {}", skipped.site),
            };
            line(
                f,
                "not",
                &format!("{what}: {} (wants {})", skipped.cause, skipped.conditions),
            )?;
        }
        if sites > SITES_SHOWN_MAX {
            line(f, "not", &format!("{} more sites", sites - SITES_SHOWN_MAX))?;
        }
        Ok(())
    }

    fn fmt_outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Outcome::Refused {
                reason,
                status,
                detail,
            } => {
                let detail = detail
                    .as_ref()
                    .map_or_else(String::new, |detail| format!(" ({detail})"));
                return line(f, "refused", &format!("{status}, {reason}{detail}"));
            }
            Outcome::HandshakeFailed { fault, detail } => {
                return line(f, "refused", &format!("the handshake, {fault} ({detail})"));
            }
            Outcome::Redirected {
                status,
                location,
                awaits_certificate,
            } => {
                let once = match awaits_certificate {
                    true => ", once there is a certificate",
                    false => "",
                };
                line(f, "redirect", &format!("{status} to {location}{once}"))?
            }
            Outcome::Responded { status, body_bytes } => {
                line(
                    f,
                    "answer",
                    &format!("{status} with a body of {body_bytes} bytes"),
                )?;
            }
            Outcome::Proxied(proxy) => fmt_proxy(proxy, f)?,
        }
        for rule in &self.response_rules {
            line(f, "response", rule)?;
        }
        if let Some(importance @ ("background" | "critical")) = self.importance {
            line(f, "importance", importance)?;
        }
        match self.body_bytes_max {
            Some(bytes) => line(f, "body", &format!("at most {bytes} bytes")),
            None => Ok(()),
        }
    }
}

fn fmt_tls(tls: &TlsNote, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if tls.listener_in_cleartext {
        line(f, "tls", "this listener does not speak TLS")?;
    } else if tls.encrypted || tls.https_redirect.is_some() {
        let until = match (&tls.default_certificate, tls.standing) {
            _ if !tls.encrypted => String::new(),
            (Some(name), CertificateStanding::None) => format!(" (clients are shown `{name}`)"),
            (Some(name), CertificateStanding::Awaited) => {
                format!(" (until it is issued, clients are shown `{name}`)")
            }
            (None, CertificateStanding::Awaited) => {
                " (until it is issued, handshakes are refused)".to_owned()
            }
            (_, _) => String::new(),
        };
        line(f, "certificate", &format!("{}{until}", tls.certificate))?;
    }
    if let Some(mode) = tls.client_certificate {
        line(f, "client cert", mode)?;
    }
    if let Some(location) = &tls.https_redirect {
        let until = match (tls.standing, tls.client_certificate) {
            (CertificateStanding::Had, _) => "",
            (_, Some("required")) => ", once there is a certificate; refused until then",
            (_, _) => ", once there is a certificate; served in cleartext until then",
        };
        let said = format!("308 to {location}{until}");
        line(f, "https", &said)?;
    }
    if let Some(hsts) = &tls.hsts {
        line(f, "hsts", hsts)?;
    }
    Ok(())
}

fn fmt_balancing(proxy: &ProxyNote, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if let Some(split) = &proxy.split {
        let drawn = if split.drawn && split.by != "random" {
            " (not there: drawn)"
        } else {
            ""
        };
        let said = format!(
            "{} of {} parts go here, by {}{drawn}",
            split.weight, split.weights, split.by
        );
        line(f, "split", &said)?;
    }
    let by = proxy
        .hash_by
        .as_ref()
        .map_or_else(String::new, |by| format!(" by {by}"));
    let subset = match &proxy.subset[..] {
        [] => String::new(),
        labels => format!(", subset {}", labels.join(" ")),
    };
    let said = format!("{}, {}{by}{subset}", proxy.upstream, proxy.algorithm);
    line(f, "upstream", &said)?;
    if let Some(cookie) = &proxy.sticky {
        let said = format!("by the cookie {cookie}, which only the gateway can read");
        line(f, "sticky", &said)?;
    }
    for candidate in &proxy.candidates {
        line(f, "", &candidate_line(candidate, proxy))?;
    }
    if let Some(queue) = &proxy.queue {
        line(f, "queue", queue)?;
    }
    if let Some(mirror) = &proxy.mirror {
        let said = format!(
            "{} % of the requests, bodies up to {} bytes, to {}",
            mirror.share_percent, mirror.body_bytes_max, mirror.upstream
        );
        line(f, "mirror", &said)?;
    }
    Ok(())
}

fn candidate_line(candidate: &CandidateNote, proxy: &ProxyNote) -> String {
    let mut said = format!(
        "{}  weight {}  {}  {} in flight",
        candidate.endpoint, candidate.weight, candidate.standing, candidate.in_flight
    );
    if let Some(most) = candidate.requests_max {
        said += &format!(" of {most}");
    }
    if let Some(ms) = candidate.for_ms {
        said += &format!("  for {ms} ms more");
    }
    if let Some(percent) = candidate.slow_start_percent {
        said += &format!("  slow start {percent} %");
    }
    if let Some(micros) = candidate.latency_micros {
        said += &format!("  {} ms", micros as f64 / 1000.0);
    }
    if candidate.backup {
        said += "  backup";
    }
    if let Some(zone) = &candidate.zone {
        said += &format!("  zone {zone}");
    }
    if candidate.picked {
        said += "  <- a fresh worker's choice";
        // What the algorithm's name does not say.
        let because = proxy
            .picked_because
            .filter(|because| *because != proxy.algorithm);
        let reasons: Vec<&str> = because.into_iter().chain(proxy.spill).collect();
        if !reasons.is_empty() {
            said += &format!(" ({})", reasons.join(", "));
        }
    }
    said
}

fn fmt_proxy(proxy: &ProxyNote, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let rewritten = if proxy.rewritten { " (rewritten)" } else { "" };
    line(f, "forwards", &format!("{}{rewritten}", proxy.target))?;
    line(f, "host", &proxy.host)?;
    for rule in &proxy.request_rules {
        line(f, "rule", rule)?;
    }
    fmt_balancing(proxy, f)?;
    if let Some(reason) = proxy.no_endpoint {
        line(f, "", &format!("no endpoint: {reason}"))?;
    }
    let time = |ms: Option<u64>| ms.map_or_else(|| "off".to_owned(), |ms| format!("{ms} ms"));
    let said = format!(
        "connect {}, first byte {}, between bytes {}, request {}",
        time(Some(proxy.connect_timeout_ms)),
        time(proxy.first_byte_timeout_ms),
        time(proxy.between_bytes_timeout_ms),
        time(proxy.request_timeout_ms)
    );
    line(f, "timeouts", &said)?;
    line(f, "retries", &proxy.retry)?;
    match &proxy.hedge {
        Some(hedge) => line(f, "hedge", hedge),
        None => Ok(()),
    }
}
