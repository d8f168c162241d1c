//! For which names a certificate is ordered because a client asked for it: pure.
//!
//! A stranger's ClientHello must not make us order what nobody wants, nor use up the account's limits. So a name needs
//! to be a host name, be on the list and be confirmed by the ask URL (as far as there are these), must not have failed
//! just now, and the hour must have room.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use foregate_telemetry::clock::Moment;

/// Names whose refusal is remembered, and for how long.
const REFUSED_MAX: usize = 4_096;
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Names whose orders failed that are remembered, with their back-off. More than a day of the hours' default maximum.
const FAILED_MAX: usize = 4_096;
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

/// Domains of the machine and the local network, for which no public authority issues (RFC 6761, RFC 6762, RFC 8375).
const LOCAL: [&str; 5] = ["localhost", "local", "internal", "test", "home.arpa"];

/// Whether a host name is one of the local network.
#[must_use]
pub fn is_local(name: &str) -> bool {
    LOCAL.iter().any(|domain| {
        let Some(at) = name.len().checked_sub(domain.len()) else {
            return false;
        };
        let (head, tail) = name.as_bytes().split_at(at);
        tail.eq_ignore_ascii_case(domain.as_bytes()) && (head.is_empty() || head.ends_with(b"."))
    })
}

/// Whether a name may have a certificate, as far as that can be told without asking: where there are a list and a URL,
/// both must agree. Local names have to be on the list, which an authority of one's own may issue for.
#[must_use]
pub fn admits(allow: &[String], ask: bool, name: &str) -> bool {
    match allow {
        [] => ask && !is_local(name),
        allow => allow.iter().any(|pattern| covers(pattern, name)),
    }
}

/// What is to be done about a name that a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: not on the list, refused or failed lately, or no name at all.
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
    failed: HashMap<String, Failed>,
}

/// What is remembered of a name whose order failed.
#[derive(Clone, Copy, Debug)]
struct Failed {
    /// In a row.
    failures: u32,
    held_until: Moment,
    /// How much of that the server itself asked for.
    asked_until: Moment,
}

impl Allowance {
    /// Judges a name. With an ask URL, what the list admits is asked for too.
    pub fn judge(
        &mut self,
        now: Moment,
        name: &str,
        allow: &[String],
        ask: bool,
        issues_per_hour_max: u32,
    ) -> Verdict {
        if !is_orderable(name) || !admits(allow, ask, name) || self.is_held(now, name) {
            return Verdict::Decline;
        }
        if ask && self.refused_lately(now, name) {
            return Verdict::Decline;
        }
        if self.left(now, issues_per_hour_max) == 0 {
            return Verdict::Full;
        }
        if ask {
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

    /// An order failed, `failures` in a row have: the name is declined until then, and costs the hour nothing. The server
    /// itself wants no order before `asked_until`.
    pub fn failed(
        &mut self,
        now: Moment,
        name: &str,
        failures: u32,
        held_until: Moment,
        asked_until: Moment,
    ) {
        if self.failed.len() >= FAILED_MAX && !self.failed.contains_key(name) {
            self.failed.retain(|_, failed| failed.held_until > now);
        }
        if self.failed.len() >= FAILED_MAX && !self.failed.contains_key(name) {
            let first = self.failed.iter().min_by_key(|(_, one)| one.held_until);
            if let Some(first) = first.map(|(name, _)| name.clone()) {
                self.failed.remove(&first);
            }
        }
        let failed = Failed {
            failures,
            held_until,
            asked_until,
        };
        self.failed.insert(name.to_owned(), failed);
    }

    /// Orders are made in another way now: names that are declined for their failures alone may be asked for again.
    pub fn reconsider(&mut self) {
        for failed in self.failed.values_mut() {
            failed.failures = 1;
            failed.held_until = failed.held_until.min(failed.asked_until);
        }
    }

    /// A certificate has come: what failed before is forgotten.
    pub fn succeeded(&mut self, name: &str) {
        self.failed.remove(name);
    }

    /// How many orders for a name have failed in a row.
    #[must_use]
    pub fn failures(&self, name: &str) -> u32 {
        self.failed.get(name).map_or(0, |failed| failed.failures)
    }

    fn is_held(&self, now: Moment, name: &str) -> bool {
        let failed = self.failed.get(name);
        failed.is_some_and(|failed| failed.held_until > now)
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
    fn the_list_and_the_url_must_both_agree() {
        let mut allowance = Allowance::default();
        let list = ["*.shops.example".to_owned()];
        let now = Moment::START;
        let mut judge = |name, list: &[String], ask| allowance.judge(now, name, list, ask, 10);
        assert_eq!(judge("a.shops.example", &list, false), Verdict::Order);
        assert_eq!(judge("a.other.example", &list, false), Verdict::Decline);
        assert_eq!(judge("a.shops.example", &list, true), Verdict::Ask);
        assert_eq!(judge("a.other.example", &list, true), Verdict::Decline);
        assert_eq!(judge("a.other.example", &[], true), Verdict::Ask);
        assert_eq!(judge("a.other.example", &[], false), Verdict::Decline);
        assert_eq!(judge("nonsense", &[], true), Verdict::Decline);
        // No public authority issues for these; one's own does for those that are written.
        for local in [
            "a.localhost",
            "db.internal",
            "a.b.test",
            "nas.home.arpa",
            "NAS.Local",
        ] {
            assert_eq!(judge(local, &[], true), Verdict::Decline, "{local}");
        }
        for public in ["a.mylocal", "internal.example", "b.home.example"] {
            assert_eq!(judge(public, &[], true), Verdict::Ask, "{public}");
        }
        let own = ["*.corp.internal".to_owned()];
        assert_eq!(judge("a.corp.internal", &own, true), Verdict::Ask);
        // What the URL has refused is not ordered because the list has it.
        allowance.answered(now, "b.shops.example", false, 10);
        let again = allowance.judge(now, "b.shops.example", &list, true, 10);
        assert_eq!(again, Verdict::Decline);
    }

    #[test]
    fn a_name_that_failed_rests_and_costs_the_others_nothing() {
        let mut allowance = Allowance::default();
        let list = ["*.shops.example".to_owned()];
        let (now, broken) = (Moment::START, "broken.shops.example");
        let judge = |allowance: &mut Allowance, now, name: &str| {
            allowance.judge(now, name, &list, false, 3)
        };
        assert_eq!(judge(&mut allowance, now, broken), Verdict::Order);
        let until = now.plus(Duration::from_secs(120));
        allowance.failed(now, broken, 1, until, now);
        for _ in 0..100 {
            assert_eq!(judge(&mut allowance, now, broken), Verdict::Decline);
        }
        let other = judge(&mut allowance, now, "good.shops.example");
        assert_eq!(other, Verdict::Order);
        assert_eq!(judge(&mut allowance, until, broken), Verdict::Order);
        assert_eq!(allowance.failures(broken), 1);
        allowance.succeeded(broken);
        assert_eq!(allowance.failures(broken), 0);
    }

    #[test]
    fn names_that_failed_may_be_asked_for_again_once_orders_are_made_in_another_way() {
        let mut allowance = Allowance::default();
        let at = |seconds: u64| Moment::from_millis(seconds * 1_000);
        let list = ["*.shops.example".to_owned()];
        allowance.failed(at(0), "a.shops.example", 5, at(9_000), at(0));
        allowance.failed(at(0), "b.shops.example", 5, at(9_000), at(600));
        allowance.reconsider();
        let mut judge = |now, name| allowance.judge(now, name, &list, false, 10);
        assert_eq!(judge(at(1), "a.shops.example"), Verdict::Order);
        assert_eq!(judge(at(1), "b.shops.example"), Verdict::Decline);
        assert_eq!(judge(at(600), "b.shops.example"), Verdict::Order);
    }

    #[test]
    fn failures_take_bounded_memory_and_the_longest_holds_stay() {
        let mut allowance = Allowance::default();
        let hold = |number: u64| Moment::from_millis(number * 1_000);
        for number in 1..FAILED_MAX as u64 * 2 {
            let name = format!("{number}.example");
            allowance.failed(Moment::START, &name, 1, hold(number), Moment::START);
        }
        assert_eq!(allowance.failed.len(), FAILED_MAX);
        assert_eq!(allowance.failures("1.example"), 0);
        assert_eq!(
            allowance.failures(&format!("{}.example", FAILED_MAX + 1)),
            1
        );
        // Those that are over make room first.
        let over = hold(FAILED_MAX as u64 * 2 - 2);
        allowance.failed(over, "late.example", 1, hold(FAILED_MAX as u64 * 3), over);
        assert_eq!(allowance.failed.len(), 2);
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
                // With the URL, and without.
                let name = if listed { "a.example" } else { "b.example" };
                let list = if listed { &list[..] } else { &[] };
                let mut verdict = allowance.judge(moment, name, list, !listed, max);
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
