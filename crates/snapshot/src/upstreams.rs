//! Upstreams and their endpoints.

use crate::compile::size;
use crate::plan::{EndpointPlan, TimeoutPlan, UpstreamPlan};
use crate::{probes, tls};
use foregate_balance::{Algorithm, EjectionPolicy};
use foregate_config::Diagnostic;
use foregate_config::settings::{
    Balance, Ejection, ProxyProtocolVersion, Server, ServerAddress, ServerHost, Timeouts, Upstream,
};
use std::time::Duration;

pub(crate) fn compile(
    upstreams: &[Upstream],
    diagnostics: &mut Vec<Diagnostic>,
) -> Box<[UpstreamPlan]> {
    let compiled = upstreams.iter();
    compiled.map(|one| upstream(one, diagnostics)).collect()
}

fn upstream(upstream: &Upstream, diagnostics: &mut Vec<Diagnostic>) -> UpstreamPlan {
    let (tls, protocol) = tls::upstream(upstream);
    UpstreamPlan {
        tls,
        protocol,
        grpc_web: upstream.grpc_web,
        connect_timeout: upstream.timeouts.connect,
        name: upstream.name.as_str().into(),
        endpoints: upstream.servers.iter().map(endpoint).collect(),
        algorithm: match upstream.balance {
            Balance::RoundRobin => Algorithm::RoundRobin,
            Balance::LeastRequests => Algorithm::LeastRequests,
            Balance::PowerOfTwo => Algorithm::PowerOfTwo,
            Balance::Random => Algorithm::Random,
        },
        ejection: ejection(upstream.ejection),
        probe: probes::compile(upstream, diagnostics),
        connections_idle_max: size(upstream.connections_idle_max),
        connections_max: upstream.connections_max.map(size),
        requests_pending_max: size(upstream.requests_pending_max),
        idle_timeout: upstream.idle_timeout,
        requests_per_connection_max: upstream.requests_per_connection_max.map(u64::from),
        proxy_protocol: upstream.proxy_protocol.map(|version| match version {
            ProxyProtocolVersion::V1 => 1,
            ProxyProtocolVersion::V2 => 2,
        }),
        tries_max: upstream.tries_max.max(1),
        response_head_bytes_max: size(upstream.response.head_bytes_max),
        response_fields_max: size(upstream.response.fields_max),
    }
}

fn endpoint(server: &Server) -> EndpointPlan {
    EndpointPlan::new(&server.address, server.weight)
}

impl EndpointPlan {
    fn new(address: &ServerAddress, weight: u32) -> EndpointPlan {
        EndpointPlan {
            host: match &address.host {
                ServerHost::Ip(ip) => ip.to_string().into(),
                ServerHost::Name(name) => name.as_str().into(),
            },
            port: address.port,
            authority: address.to_string().into(),
            weight,
        }
    }

    /// An endpoint from `ip:port`, `[ipv6]:port` or `name:port`, for those that no configuration names; `None` when
    /// the text is none of these.
    pub fn parse(address: &str, weight: u32) -> Option<EndpointPlan> {
        let address: ServerAddress = address.parse().ok()?;
        Some(EndpointPlan::new(&address, weight))
    }
}

fn ejection(ejection: Option<Ejection>) -> EjectionPolicy {
    match ejection {
        Some(ejection) => EjectionPolicy {
            consecutive_failures: Some(ejection.consecutive_failures),
            base_time_ms: millis(ejection.base_time),
            time_max_ms: millis(ejection.time_max),
            share_max_percent: u32::from(ejection.share_max_percent),
        },
        None => EjectionPolicy {
            consecutive_failures: None,
            ..EjectionPolicy::default()
        },
    }
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
    }
}
