//! For which names a certificate is ordered because a client asked for it: pure.
//!
//! A stranger's ClientHello must not make us order what nobody wants, nor use up the account's limits. So a name needs
//! to be a host name, be on the list or be confirmed by the ask URL, and the hour must have room.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foregate_telemetry::clock::Moment;

/// Names whose refusal is remembered, and for how long.
const REFUSED_MAX: usize = 4_096;
const REFUSED_FOR: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Whether a pattern covers a name: the name itself, or `*.` and one label before it (RFC 6125 §6.4.3).
#[must_use]
pub fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => name.split_once('.').is_some_and(|(label, rest)| {
            !label.is_empty() && label != "*" && rest.eq_ignore_ascii_case(parent)
        }),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

/// Whether a name is a host name that a public CA could issue for: letters, digits, hyphens, at least two labels, the
/// last one not a number (RFC 1123 §2.1).
#[must_use]
pub fn is_orderable(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253
        && name.contains('.')
        && name.split('.').all(is_label)
        && name
            .rsplit('.')
            .next()
            .is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

/// What is to be done about a name that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: not on the list, refused lately, or no name at all.
    Decline,
    /// Nothing now: the hour is full.
    Full,
    /// The ask URL decides.
    Ask,
    /// Order it; the hour has been charged.
    Order,
}

/// The account of names that clients ask for.
#[derive(Debug, Default)]
pub struct Allowance {
    issues: VecDeque<Moment>,
    refused: HashMap<String, Moment>,
}

impl Allowance {
    /// Judges a name. With an ask URL, only what the list does not cover is asked for.
    pub fn judge(
        &mut self,
        now: Moment,
        name: &str,
        allow: &[String],
        ask: bool,
        issues_per_hour_max: u32,
    ) -> Verdict {
        if !is_orderable(name) {
            return Verdict::Decline;
        }
        let listed = allow.iter().any(|pattern| covers(pattern, name));
        if !listed && (!ask || self.refused_lately(now, name)) {
            return Verdict::Decline;
        }
        if self.left(now, issues_per_hour_max) == 0 {
            return Verdict::Full;
        }
        if !listed {
            return Verdict::Ask;
        }
        self.issues.push_back(now);
        Verdict::Order
    }

    /// The ask URL has answered; an order is charged.
    pub fn answered(
        &mut self,
        now: Moment,
        name: &str,
        yes: bool,
        issues_per_hour_max: u32,
    ) -> Verdict {
        if !yes {
            if self.refused.len() >= REFUSED_MAX {
                self.refused.retain(|_, until| *until > now);
            }
            // A table full of fresh refusals forgets the newest: asking again costs one request.
            if self.refused.len() < REFUSED_MAX {
                self.refused.insert(name.to_owned(), now.plus(REFUSED_FOR));
            }
            return Verdict::Decline;
        }
        if self.left(now, issues_per_hour_max) == 0 {
            return Verdict::Full;
        }
        self.issues.push_back(now);
        Verdict::Order
    }

    fn refused_lately(&self, now: Moment, name: &str) -> bool {
        self.refused.get(name).is_some_and(|until| *until > now)
    }

    fn left(&mut self, now: Moment, max: u32) -> usize {
        while self.issues.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.issues.pop_front();
        }
        (max as usize).saturating_sub(self.issues.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_cover_one_label() {
        assert!(covers("*.shops.example", "a.shops.example"));
        assert!(covers("*.Shops.example", "a.shops.EXAMPLE"));
        assert!(!covers("*.shops.example", "a.b.shops.example"));
        assert!(!covers("*.shops.example", "shops.example"));
        assert!(!covers("*.shops.example", "*.shops.example"));
        assert!(covers("shop.example", "shop.example"));
        assert!(!covers("shop.example", "xshop.example"));
    }

    #[test]
    fn only_host_names_are_ordered() {
        for good in ["a.example", "xn--bcher-kva.example", "1.a.example"] {
            assert!(is_orderable(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a",
            "localhost",
            "a..b",
            "-a.example",
            "a_b.example",
            "10.0.0.1",
            "*.a.example",
            "a.example.",
            "a b.example",
            "a\u{e9}.example",
        ] {
            assert!(!is_orderable(bad), "{bad}");
        }
        assert!(!is_orderable(&format!("{}.example", "a".repeat(64))));
    }

    #[test]
    fn the_list_orders_and_the_url_is_asked_for_the_rest() {
        let mut allowance = Allowance::default();
        let list = ["*.shops.example".to_owned()];
        let now = Moment::START;
        let mut judge = |name, ask| allowance.judge(now, name, &list, ask, 10);
        assert_eq!(judge("a.shops.example", false), Verdict::Order);
        assert_eq!(judge("a.other.example", false), Verdict::Decline);
        assert_eq!(judge("a.other.example", true), Verdict::Ask);
        assert_eq!(judge("nonsense", true), Verdict::Decline);
    }

    #[test]
    fn a_refusal_is_remembered_for_a_minute() {
        let mut allowance = Allowance::default();
        let name = "a.other.example";
        let now = Moment::START;
        assert_eq!(allowance.answered(now, name, false, 10), Verdict::Decline);
        assert_eq!(allowance.judge(now, name, &[], true, 10), Verdict::Decline);
        let later = now.plus(REFUSED_FOR);
        assert_eq!(allowance.judge(later, name, &[], true, 10), Verdict::Ask);
    }

    #[test]
    fn refusals_take_bounded_memory() {
        let mut allowance = Allowance::default();
        for number in 0..REFUSED_MAX * 2 {
            allowance.answered(Moment::START, &format!("{number}.example"), false, 1);
        }
        assert_eq!(allowance.refused.len(), REFUSED_MAX);
    }

    proptest! {
        #[test]
        fn no_hour_sees_more_than_its_maximum(steps in proptest::collection::vec((0u64..2_000, any::<bool>()), 1..200), max in 0u32..10) {
            let mut allowance = Allowance::default();
            let (mut now, mut issued) = (0u64, Vec::new());
            for (passes, listed) in steps {
                now += passes;
                let moment = Moment::from_millis(now * 1_000);
                let list = ["a.example".to_owned()];
                let name = if listed { "a.example" } else { "b.example" };
                let mut verdict = allowance.judge(moment, name, &list, true, max);
                if verdict == Verdict::Ask {
                    verdict = allowance.answered(moment, name, true, max);
                }
                if verdict == Verdict::Order {
                    issued.push(now);
                }
                prop_assert!(issued.iter().filter(|at| now - **at < 3_600).count() <= max as usize);
            }
        }
    }
}
