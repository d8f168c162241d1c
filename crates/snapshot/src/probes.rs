//! Probes of upstreams.

use crate::upstreams::millis;
use foregate_balance::{
    BodyMatch, Expectation, HttpQuestion, ProbePlan, Question, Rhythm, Statuses,
};
use foregate_config::settings::{Probe, ProbeBody, ProbeQuestion, ProbeRequest, Upstream};
use foregate_config::{Code, Diagnostic};
use regex::bytes::Regex;
use std::sync::Arc;

pub(crate) fn compile(
    upstream: &Upstream,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Arc<ProbePlan>> {
    let probe = upstream.probe.as_ref()?;
    let question = match &probe.question {
        ProbeQuestion::Tcp => Question::Tcp,
        ProbeQuestion::Tls => Question::Tls,
        ProbeQuestion::Grpc(service) => Question::Grpc {
            service: service.as_str().into(),
        },
        ProbeQuestion::Http(request) => match http(request) {
            Ok(question) => Question::Http(Box::new(question)),
            Err(error) => {
                let message = "the regular expression of the probe is too large";
                diagnostics.push(
                    Diagnostic::new(Code::BadRegex, upstream.origin, message)
                        .cause(error.to_string()),
                );
                return None;
            }
        },
    };
    Some(Arc::new(ProbePlan {
        question,
        port: probe.port,
        rhythm: rhythm(probe),
    }))
}

fn http(request: &ProbeRequest) -> Result<HttpQuestion, regex::Error> {
    let body = match &request.body {
        None => None,
        Some(ProbeBody::Contains(text)) => Some(BodyMatch::Contains(text.as_bytes().into())),
        Some(ProbeBody::Matches(regex)) => Some(BodyMatch::Matches(Regex::new(regex)?)),
    };
    let fields = request.headers.iter();
    Ok(HttpQuestion {
        method: request.method.as_str().into(),
        target: request.target.as_str().into(),
        host: request.host.as_deref().map(Into::into),
        fields: fields
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        expectation: Expectation {
            statuses: Statuses::new(request.statuses.iter().copied()),
            body,
        },
    })
}

fn rhythm(probe: &Probe) -> Rhythm {
    Rhythm {
        interval_ms: millis(probe.interval),
        failing_interval_ms: millis(probe.failing_interval),
        timeout_ms: millis(probe.timeout),
        rise: probe.rise,
        fall: probe.fall,
    }
}
