//! Upstreams and their endpoints.

use crate::compile::size;
use crate::plan::{
    ConsulPlan, DiscoveryPlan, EndpointPlan, QueuePlan, RetryPlan, SourcePlan, StickyPlan,
    TimeoutPlan, UpstreamPlan,
};
use crate::{probes, targets, tls};
use foregate_balance::{
    AdaptivePolicy, Algorithm, Attributes, Balancing, Bounds, BreakerPolicy, BudgetPolicy,
    EjectionPolicy, HedgePolicy, OutlierPolicy, Statuses, Subset,
};
use foregate_config::settings::{
    Balance, Circuit, Consul, Discovery, DiscoverySource, Ejection, HashBy, Hedge, Protocol,
    ProxyProtocolVersion, Retry, SameSite, Server, ServerAddress, ServerHost, Sticky, Timeouts,
    Upstream,
};
use foregate_config::{Diagnostic, Settings};
use foregate_message::FieldName;
use foregate_policy::request_key::RequestKey;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn compile(
    settings: &Settings,
    diagnostics: &mut Vec<Diagnostic>,
) -> Box<[UpstreamPlan]> {
    let zone = settings.zone.as_deref();
    let mut subsets = targets::subsets(settings);
    let upstreams = settings.upstreams.iter();
    upstreams
        .map(|one| {
            let subsets = subsets.remove(one.name.as_str()).unwrap_or_default();
            upstream(one, balancing(one, zone, subsets), diagnostics)
        })
        .collect()
}

fn upstream(
    upstream: &Upstream,
    balancing: Balancing,
    diagnostics: &mut Vec<Diagnostic>,
) -> UpstreamPlan {
    let (tls, protocol) = tls::upstream(upstream);
    UpstreamPlan {
        tls,
        protocol,
        grpc_web: upstream.grpc_web,
        connect_timeout: upstream.timeouts.connect,
        name: upstream.name.as_str().into(),
        endpoints: upstream.servers.iter().map(endpoint).collect(),
        balancing,
        sticky: upstream.sticky.as_ref().map(sticky),
        hash_by: upstream.hash_by.as_ref().map(request_key),
        discovery: upstream.discovery.as_ref().map(discovery),
        requests_max: upstream.bounds.upstream_requests_max,
        queue: QueuePlan {
            length_max: size(upstream.bounds.queue.length_max),
            time_max: upstream.bounds.queue.time_max,
        },
        circuit: upstream.bounds.upstream_circuit.as_ref().map(circuit),
        ejection: ejection(&upstream.ejection),
        outliers: outliers(&upstream.ejection),
        probe: probes::compile(upstream, diagnostics),
        connections_idle_max: size(upstream.connections_idle_max),
        connections_max: upstream.connections_max.map(size),
        requests_pending_max: size(upstream.requests_pending_max),
        idle_timeout: upstream.idle_timeout,
        keep_alive: upstream.tcp_keepalive,
        congestion: crate::listeners::congestion(&upstream.congestion_control),
        requests_per_connection_max: upstream.requests_per_connection_max.map(u64::from),
        proxy_protocol: upstream.proxy_protocol.map(|version| match version {
            ProxyProtocolVersion::V1 => 1,
            ProxyProtocolVersion::V2 => 2,
        }),
        tries_max: upstream.tries_max.max(1),
        retry: retry(&upstream.retry),
        hedge: upstream.hedge.as_ref().map(hedge),
        response_head_bytes_max: size(upstream.response.head_bytes_max),
        response_fields_max: size(upstream.response.fields_max),
        abuse_points_per_minute_max: upstream.response.abuse_points_per_minute_max,
    }
}

fn balancing(upstream: &Upstream, zone: Option<&str>, subsets: Vec<Subset>) -> Balancing {
    Balancing {
        algorithm: match upstream.balance {
            Balance::RoundRobin => Algorithm::RoundRobin,
            Balance::LeastRequests => Algorithm::LeastRequests,
            Balance::PowerOfTwo => Algorithm::PowerOfTwo,
            Balance::PeakEwma => Algorithm::PeakEwma,
            Balance::Random => Algorithm::Random,
            Balance::HashRing => Algorithm::HashRing,
            Balance::HashMaglev => Algorithm::HashMaglev,
        },
        load_max_percent: upstream.hash_load_max_percent,
        zone: zone.map(Into::into),
        zone_fit_min_percent: u32::from(upstream.fit_min.zone_percent),
        primary_fit_min_percent: u32::from(upstream.fit_min.primary_percent),
        subsets: subsets.into(),
        panic_threshold_percent: u32::from(upstream.bounds.panic_threshold_percent),
        bounds: Bounds {
            slow_start_ms: upstream.bounds.slow_start.map_or(0, millis),
            requests_max: upstream.bounds.requests_max,
            adaptive: upstream.bounds.adaptive.map(|one| AdaptivePolicy {
                initial: one.initial,
                min: one.min,
                max: one.max,
                tolerance_percent: one.tolerance_percent,
            }),
            circuit: upstream.bounds.circuit.as_ref().map(circuit),
        },
    }
}

fn circuit(circuit: &Circuit) -> BreakerPolicy {
    BreakerPolicy {
        failures_percent: u32::from(circuit.failures_percent),
        window_ms: millis(circuit.window),
        requests_min: circuit.requests_min,
        open_ms: millis(circuit.open),
        trials: circuit.trials,
    }
}

pub(crate) fn request_key(by: &HashBy) -> RequestKey {
    // Names of headers and cookies are checked when the configuration is read.
    match by {
        HashBy::Client => RequestKey::Client,
        HashBy::Path => RequestKey::Path,
        HashBy::Url => RequestKey::Url,
        HashBy::Header(name) => FieldName::new(name).map_or(RequestKey::Client, RequestKey::Header),
        HashBy::Cookie(name) => RequestKey::Cookie(name.as_str().into()),
        HashBy::Query(name) => RequestKey::Query(name.as_str().into()),
    }
}

fn sticky(sticky: &Sticky) -> StickyPlan {
    let lifetime_seconds = sticky.lifetime.map(|lifetime| lifetime.as_secs());
    let mut attributes = format!("; Path={}", sticky.path);
    if let Some(seconds) = lifetime_seconds {
        attributes += &format!("; Max-Age={seconds}");
    }
    if sticky.http_only {
        attributes += "; HttpOnly";
    }
    attributes += match sticky.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    };
    StickyPlan {
        cookie: sticky.cookie.as_str().into(),
        lifetime_seconds,
        attributes: attributes.into(),
        secure: sticky.secure,
        secrets: sticky.secrets.iter().cloned().collect(),
    }
}

fn retry(retry: &Retry) -> RetryPlan {
    RetryPlan {
        connect: retry.on.connect,
        refused: retry.on.refused,
        reset: retry.on.reset,
        timeout: retry.on.timeout,
        statuses: Statuses::new(retry.statuses.iter().copied()),
        body_bytes_max: size(retry.body_bytes_max),
        budget: BudgetPolicy {
            share_percent: u32::from(retry.budget_percent),
            per_second: retry.budget_per_second,
        },
        retries_max: retry.retries_max,
    }
}

fn hedge(hedge: &Hedge) -> HedgePolicy {
    HedgePolicy {
        after_micros: hedge
            .after
            .map_or(0, |after| millis(after).saturating_mul(1_000)),
        percentile: hedge.after_percentile.map(u32::from),
        requests_max: hedge.requests_max,
    }
}

fn endpoint(server: &Server) -> EndpointPlan {
    let labels = server.labels.iter();
    let attributes = Attributes {
        backup: server.backup,
        zone: server.zone.as_deref().map(Into::into),
        labels: labels
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
    };
    EndpointPlan::new(&server.address, server.weight, attributes)
}

impl EndpointPlan {
    fn new(address: &ServerAddress, weight: u32, attributes: Attributes) -> EndpointPlan {
        EndpointPlan {
            host: match &address.host {
                ServerHost::Ip(ip) => ip.to_string().into(),
                ServerHost::Name(name) => name.as_str().into(),
            },
            port: address.port,
            authority: address.to_string().into(),
            weight,
            attributes: Arc::new(attributes),
        }
    }

    /// An endpoint from `ip:port`, `[ipv6]:port` or `name:port`, for those that no configuration names; `None` when
    /// the text is none of these.
    pub fn parse(address: &str, weight: u32) -> Option<EndpointPlan> {
        EndpointPlan::described(address, weight, Attributes::default())
    }

    /// The same with what else is known of it.
    pub fn described(address: &str, weight: u32, attributes: Attributes) -> Option<EndpointPlan> {
        let address: ServerAddress = address.parse().ok()?;
        Some(EndpointPlan::new(&address, weight, attributes))
    }
}

fn discovery(discovery: &Discovery) -> DiscoveryPlan {
    DiscoveryPlan {
        source: match &discovery.source {
            DiscoverySource::Dns { name, lookup } => SourcePlan::Dns(name.clone(), lookup.clone()),
            DiscoverySource::Srv { name, lookup } => {
                SourcePlan::Srv(name.as_str().into(), lookup.clone())
            }
            DiscoverySource::File(file) => SourcePlan::File(file.path.clone()),
            DiscoverySource::Consul(consul) => SourcePlan::Consul(self::consul(consul)),
            DiscoverySource::Docker(docker) => SourcePlan::Docker(docker.clone()),
        },
        endpoints_max: size(discovery.endpoints_max),
    }
}

fn consul(consul: &Consul) -> ConsulPlan {
    let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
    ConsulPlan {
        address: consul.address.clone(),
        service: consul.service.as_str().into(),
        tag: boxed(&consul.tag),
        datacenter: boxed(&consul.datacenter),
        token: consul.token.clone(),
        tls: (consul.tls.as_ref()).map(|one| tls::connector(one, Protocol::Http1)),
    }
}

fn ejection(ejection: &Ejection) -> EjectionPolicy {
    EjectionPolicy {
        consecutive_failures: ejection.consecutive_failures,
        consecutive_gateway_errors: ejection.consecutive_gateway_errors,
        base_time_ms: millis(ejection.base_time),
        time_max_ms: millis(ejection.time_max),
        share_max_percent: u32::from(ejection.share_max_percent),
    }
}

fn outliers(ejection: &Ejection) -> Option<OutlierPolicy> {
    let policy = OutlierPolicy {
        interval_ms: millis(ejection.interval),
        requests_min: ejection.requests_min,
        failures_above_percent: ejection.failures_above,
        latency_percent: ejection.latency_above_percent,
        latency_floor_micros: millis(ejection.latency_floor).saturating_mul(1_000),
    };
    let compares = policy.failures_above_percent.is_some() || policy.latency_percent.is_some();
    compares.then_some(policy)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(crate) fn timeouts(timeouts: Timeouts) -> TimeoutPlan {
    TimeoutPlan {
        connect: timeouts.connect,
        first_byte: timeouts.first_byte,
        between_bytes: timeouts.between_bytes,
        request: timeouts.request,
        per_try: timeouts.per_try,
    }
}
