//! What a server's errors mean here (RFC 8555 §6.7).

use std::time::Duration;

use instant_acme::{Error, Problem};
use tokio::time::Instant;

use crate::reason::{Failure, Reason};
use crate::web::{Refusal, Web, WebError};

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Directory,
    Account,
    Order,
    Resume,
    Prove,
    Finalize,
    Window,
}

const PREFIX: &str = "urn:ietf:params:acme:error:";

/// An error as a failure.
pub(super) fn failure(error: &Error, step: Step, web: &Web) -> Failure {
    judge(error, step, web.refusal())
}

fn judge(error: &Error, step: Step, refusal: Option<Refusal>) -> Failure {
    let retry_after = refusal.and_then(|refusal| refusal.retry_after);
    let with = |reason, detail: String| Failure {
        reason,
        detail,
        retry_after: retry_after_of(reason, retry_after),
    };
    let status = refusal.map_or(0, |refusal| refusal.status.as_u16());
    match error {
        // Whatever the words: the order is not there any more.
        Error::Api(_) | Error::Json(_) if step == Step::Resume && matches!(status, 404 | 410) => {
            with(
                Reason::OrderRefused,
                format!("the server does not know the order any more ({status})"),
            )
        }
        Error::Api(problem) => with(reason_of(problem, step), told(problem)),
        Error::Timeout(again) => Failure {
            retry_after: again.map(left_until),
            ..Failure::new(
                Reason::OrderTimedOut,
                format!("the server did not finish in time ({})", name(step)),
            )
        },
        Error::Other(error) if error.downcast_ref::<WebError>().is_some() => {
            with(Reason::DirectoryUnreachable, error.to_string())
        }
        // An answer that is no problem document, as from whatever stands before a CA.
        Error::Json(_) if refusal.is_some() => {
            let reason = match status {
                429 => Reason::RateLimited,
                _ => Reason::DirectoryFailed,
            };
            with(
                reason,
                format!("the server answered {status} ({})", name(step)),
            )
        }
        Error::Crypto | Error::KeyRejected => with(
            Reason::StateUnreadable,
            "the account's key can't be used".into(),
        ),
        other => with(
            Reason::DirectoryFailed,
            format!(
                "the server's answer makes no sense ({}): {other}",
                name(step)
            ),
        ),
    }
}

/// A time to come back belongs to refusals for now; what is wrong for good does not get better by it.
fn retry_after_of(reason: Reason, retry_after: Option<Duration>) -> Option<Duration> {
    match reason {
        Reason::RateLimited | Reason::DirectoryFailed => retry_after,
        _ => None,
    }
}

/// The ACME client tells by the clock of the standard library when the server wants to be asked again.
fn left_until(again: std::time::Instant) -> Duration {
    Instant::from_std(again).saturating_duration_since(Instant::now())
}

fn name(step: Step) -> &'static str {
    match step {
        Step::Directory => "directory",
        Step::Account => "new account",
        Step::Order => "new order",
        Step::Resume => "order",
        Step::Prove => "challenge",
        Step::Finalize => "certificate",
        Step::Window => "renewal information",
    }
}

fn reason_of(problem: &Problem, step: Step) -> Reason {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix(PREFIX).unwrap_or(kind);
    match (kind, problem.status.unwrap_or_default()) {
        ("rateLimited", _) | (_, 429) => Reason::RateLimited,
        ("badNonce", _) => Reason::BadNonce,
        ("accountDoesNotExist", _) => Reason::AccountGone,
        // Whom the server does not let order at all is not the account that it knew; names are refused later, and by
        // other errors (RFC 8555 §7.3.6).
        ("unauthorized", _) if step == Step::Order => Reason::AccountGone,
        ("serverInternal", _) | (_, 500..) => Reason::DirectoryFailed,
        _ => match step {
            Step::Account => Reason::AccountRefused,
            Step::Prove => Reason::ChallengeFailed,
            Step::Directory | Step::Window => Reason::DirectoryFailed,
            Step::Order | Step::Resume | Step::Finalize => Reason::OrderRefused,
        },
    }
}

/// A problem in one line, with what it says about single names.
pub(super) fn told(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or("error");
    let kind = kind.strip_prefix(PREFIX).unwrap_or(kind);
    let mut text = kind.to_owned();
    if let Some(detail) = &problem.detail {
        text = format!("{text}: {detail}");
    }
    for sub in problem.subproblems.iter().take(10) {
        let identifier = sub
            .identifier
            .as_ref()
            .map_or_else(String::new, |identifier| {
                identifier.authorized(false).to_string()
            });
        let detail = sub.detail.as_deref().unwrap_or_default();
        text = format!("{text}; {identifier} {detail}");
    }
    text
}

/// Whether an order was refused for what it says it replaces (RFC 9773 §5), so that a plain one may pass.
pub(super) fn is_about_replaces(error: &Error) -> bool {
    match error {
        Error::Unsupported(_) => true,
        Error::Api(problem) => {
            let kind = problem.r#type.as_deref().unwrap_or_default();
            let detail = problem.detail.as_deref().unwrap_or_default();
            kind.ends_with(":alreadyReplaced")
                || problem.status == Some(409)
                || detail.contains("replaces")
        }
        Error::Other(error) => error.to_string().contains("replaces"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> Error {
        let json = serde_json::json!({ "type": format!("{PREFIX}{kind}"), "detail": "why", "status": status });
        Error::Api(serde_json::from_value(json).unwrap())
    }

    #[track_caller]
    fn check(error: &Error, step: Step, expected: Reason) {
        assert_eq!(judge(error, step, None).reason, expected);
    }

    #[test]
    fn problems_have_reasons() {
        check(
            &problem("rateLimited", 429),
            Step::Order,
            Reason::RateLimited,
        );
        check(&problem("badNonce", 400), Step::Order, Reason::BadNonce);
        check(
            &problem("accountDoesNotExist", 400),
            Step::Resume,
            Reason::AccountGone,
        );
        check(
            &problem("unauthorized", 403),
            Step::Order,
            Reason::AccountGone,
        );
        check(
            &problem("unauthorized", 403),
            Step::Prove,
            Reason::ChallengeFailed,
        );
        check(
            &problem("externalAccountRequired", 403),
            Step::Account,
            Reason::AccountRefused,
        );
        check(
            &problem("rejectedIdentifier", 400),
            Step::Order,
            Reason::OrderRefused,
        );
        check(
            &problem("serverInternal", 500),
            Step::Account,
            Reason::DirectoryFailed,
        );
        check(&Error::Timeout(None), Step::Finalize, Reason::OrderTimedOut);
    }

    #[test]
    fn a_server_that_takes_longer_says_when_it_may_be_asked_again() {
        let again = Instant::now() + Duration::from_secs(1_000);
        let late = Error::Timeout(Some(again.into_std()));
        let span = judge(&late, Step::Finalize, None).retry_after.unwrap();
        assert!((990..=1_000).contains(&span.as_secs()), "{span:?}");
        let late = Error::Timeout(None);
        assert_eq!(judge(&late, Step::Finalize, None).retry_after, None);
    }

    #[test]
    fn an_order_that_is_gone_is_so_whatever_the_words() {
        let page = || Error::Json(serde_json::from_str::<u8>("<html>").unwrap_err());
        let gone = |error: &Error, step, status: u16| {
            let refusal = Refusal {
                status: http::StatusCode::from_u16(status).unwrap(),
                retry_after: None,
            };
            judge(error, step, Some(refusal)).reason
        };
        for status in [404, 410] {
            let reason = gone(&page(), Step::Resume, status);
            assert_eq!(reason, Reason::OrderRefused);
            let failed = problem("serverInternal", status);
            let reason = gone(&failed, Step::Resume, status);
            assert_eq!(reason, Reason::OrderRefused);
        }
        let reason = gone(&page(), Step::Order, 404);
        assert_eq!(reason, Reason::DirectoryFailed);
        let reason = gone(&page(), Step::Resume, 503);
        assert_eq!(reason, Reason::DirectoryFailed);
    }

    #[test]
    fn a_time_to_come_back_is_kept_for_refusals_that_pass() {
        let refusal = Refusal {
            status: http::StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(Duration::from_secs(77)),
        };
        let told = judge(&problem("rateLimited", 429), Step::Order, Some(refusal));
        assert_eq!(told.retry_after, Some(Duration::from_secs(77)));
        let told = judge(&problem("malformed", 400), Step::Order, Some(refusal));
        assert_eq!(told.retry_after, None);
        let page = Error::Json(serde_json::from_str::<u8>("<html>").unwrap_err());
        assert_eq!(
            judge(&page, Step::Order, Some(refusal)).reason,
            Reason::RateLimited
        );
    }
}
