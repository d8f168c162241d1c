//! Routes of a site: names, ambiguity, reachability.
//!
//! Comparing every pair would be quadratic. Routes that can be told apart by a hash (other path, other exact value of a
//! header) never meet; what remains is compared pair by pair, within a budget.

use super::automaton::Steps;
use super::overlap::{Meeting, cost, covers, meeting, takes_everything};
use super::patterns::Patterns;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::sections::{literal_prefix, literal_suffix};
use crate::settings::{FieldMatch, PathMatch, Rank, Route, Site, ValueMatch};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What may still be spent on comparing routes, and the patterns that were compiled for it.
pub(super) struct Budget<'s> {
    comparisons: usize,
    /// For patterns that may be ambiguous.
    steps: Steps,
    /// For patterns that may never be reached, or match nothing. What is not looked for any more is not told: these are
    /// hints.
    hint_steps: Steps,
    patterns: Patterns<'s>,
}

impl<'s> Budget<'s> {
    /// A million comparisons of texts take some milliseconds, a million steps of automata ten or twenty.
    pub(super) fn new() -> Self {
        Self {
            comparisons: 1_000_000,
            steps: Steps(8_000_000),
            hint_steps: Steps(4_000_000),
            patterns: Patterns::default(),
        }
    }

    /// Whether two routes may still be compared.
    fn spend(&mut self, one: &Route, other: &Route) -> bool {
        let is_left = self.comparisons > 0;
        self.comparisons = self.comparisons.saturating_sub(cost(one, other));
        is_left
    }

    fn is_left(&self) -> bool {
        self.comparisons > 0 && !self.steps.are_spent()
    }

    fn meeting(&mut self, one: &'s Route, other: &'s Route) -> Meeting {
        meeting(one, other, &mut self.patterns, &mut self.steps)
    }

    fn covers(&mut self, wide: &'s Route, narrow: &'s Route) -> bool {
        covers(wide, narrow, &mut self.patterns, &mut self.hint_steps)
    }

    /// The same for a pattern, of which there may be many for each route.
    fn pattern_covers(&mut self, wide: &'s Route, narrow: &'s Route) -> bool {
        self.hint_steps.spend(cost(wide, narrow));
        !self.hint_steps.are_spent() && self.covers(wide, narrow)
    }

    /// False only if no path is taken.
    pub(super) fn takes_any(&mut self, path: &'s PathMatch) -> bool {
        self.patterns.take_any(path, &mut self.hint_steps) != Some(false)
    }
}

/// Reports routes of a site that clash; `sound` are the indices of those without errors.
pub(super) fn check<'s>(
    site: &'s Site,
    sound: &[usize],
    budget: &mut Budget<'s>,
    report: &mut Report,
) {
    duplicate_names(site, report);
    let was_left = budget.is_left();
    let ambiguous = ambiguous(site, sound, budget, report);
    unreachable(site, sound, &ambiguous, budget, report);
    if was_left && !budget.is_left() {
        report.push(
            Diagnostic::new(
                Code::UncheckedRoutes,
                site.origin,
                "the routes from this site on were not all compared",
            )
            .cause("too many routes have the same rank and similar conditions"),
        );
    }
}

fn duplicate_names(site: &Site, report: &mut Report) {
    let mut seen: HashMap<&str, &Route> = HashMap::new();
    for route in &site.routes {
        if let Some(first) = seen.insert(&route.name, route) {
            let message = format!(
                "two routes of the site `{}` are named `{}`",
                site.name, route.name
            );
            report.push(
                Diagnostic::new(Code::DuplicateRoute, route.origin, message)
                    .label("named again")
                    .related(first.origin, "first named here"),
            );
        }
    }
}

/// Reports pairs of equal rank that can match the same request; returns the indices of the routes concerned.
fn ambiguous<'s>(
    site: &'s Site,
    sound: &[usize],
    budget: &mut Budget<'s>,
    report: &mut Report,
) -> HashSet<usize> {
    let mut groups: HashMap<(Rank, Option<&str>), Vec<usize>> = HashMap::new();
    for &index in sound {
        let route = &site.routes[index];
        let path = match &route.path {
            PathMatch::Exact(path) | PathMatch::Prefix(path) => Some(path.as_str()),
            PathMatch::Glob(_) | PathMatch::Regex(_) => None,
        };
        groups.entry((route.rank(), path)).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups
        .into_values()
        .filter(|group| group.len() > 1)
        .collect();
    groups.sort_unstable();
    let mut concerned = HashSet::new();
    for group in groups {
        for group in divide(site, group) {
            compare(site, group, budget, &mut concerned, report);
        }
    }
    concerned
}

/// Divides a group by the exact values of a condition that all its routes have, as long as that divides it: routes with
/// other values never meet.
fn divide(site: &Site, group: Vec<usize>) -> Vec<Vec<usize>> {
    let mut done = Vec::new();
    let mut open = vec![group];
    while let Some(group) = open.pop() {
        let first = &site.routes[group[0]];
        let keys = first.headers.iter().map(|c| (true, c.name.as_str()));
        let mut keys = keys.chain(first.query.iter().map(|c| (false, c.name.as_str())));
        let divided = keys.find_map(|(is_header, name)| {
            let mut parts: HashMap<&str, Vec<usize>> = HashMap::new();
            for index in &group {
                let route = &site.routes[*index];
                let value = exact_value(
                    if is_header {
                        &route.headers
                    } else {
                        &route.query
                    },
                    name,
                )?;
                parts.entry(value).or_default().push(*index);
            }
            (parts.len() > 1).then_some(parts)
        });
        match divided {
            Some(parts) => open.extend(parts.into_values().filter(|part| part.len() > 1)),
            None => done.push(group),
        }
    }
    done.sort_unstable();
    done
}

fn exact_value<'c>(conditions: &'c [FieldMatch], name: &str) -> Option<&'c str> {
    conditions
        .iter()
        .find(|condition| condition.name == name)
        .and_then(|condition| match &condition.value {
            ValueMatch::Exact(value) => Some(value.as_str()),
            _ => None,
        })
}

/// A route of a group.
struct Member<'s> {
    index: usize,
    route: &'s Route,
    /// What its paths begin with.
    begin: &'s str,
    /// What its paths end with.
    end: &'s str,
}

impl<'s> Member<'s> {
    fn of(site: &'s Site, index: usize) -> Self {
        let route = &site.routes[index];
        Self {
            index,
            route,
            begin: literal_prefix(&route.path),
            end: match &route.path {
                PathMatch::Regex(regex) => literal_suffix(regex),
                _ => "",
            },
        }
    }

    /// How it can meet another member, if it can.
    fn clash(&self, other: &Self, budget: &mut Budget<'s>) -> Option<Meeting> {
        if !(self.end.ends_with(other.end) || other.end.ends_with(self.end)) {
            return None;
        }
        match budget.meeting(self.route, other.route) {
            Meeting::Never | Meeting::Unchecked => None,
            meeting => Some(meeting),
        }
    }
}

/// Compares the routes of a group, sorted by what their paths begin with: two routes can meet only if the beginning of
/// one is a beginning of the other's, and those stand on the stack.
fn compare<'s>(
    site: &'s Site,
    group: Vec<usize>,
    budget: &mut Budget<'s>,
    concerned: &mut HashSet<usize>,
    report: &mut Report,
) {
    let mut group: Vec<Member<'s>> = group
        .into_iter()
        .map(|index| Member::of(site, index))
        .collect();
    group.sort_by_key(|member| (member.begin, member.index));
    let mut stack: Vec<Member<'s>> = Vec::new();
    for member in group {
        while stack
            .last()
            .is_some_and(|top| !member.begin.starts_with(top.begin))
        {
            stack.pop();
        }
        let mut clashes = stack.iter().map_while(|other| {
            let is_affordable = budget.spend(member.route, other.route);
            is_affordable.then(|| (other, member.clash(other, budget)))
        });
        let clash = clashes.find_map(|(other, clash)| Some((other, clash?)));
        if let Some((other, meeting)) = clash {
            concerned.extend([member.index, other.index]);
            report.push(if member.index < other.index {
                ambiguity(member.route, other.route, meeting)
            } else {
                ambiguity(other.route, member.route, meeting)
            });
        }
        stack.push(member);
    }
}

fn ambiguity(first: &Route, second: &Route, meeting: Meeting) -> Diagnostic {
    let is_certain = meeting == Meeting::Sometimes;
    let message = format!(
        "the routes `{}` and `{}` {} match the same request",
        first.name,
        second.name,
        if is_certain { "can" } else { "may" }
    );
    let is_same = first.path == second.path
        && first.methods == second.methods
        && first.headers == second.headers
        && first.query == second.query
        && first.clients == second.clients;
    let cause = if is_same {
        "their conditions are the same, and the order of routes in the file means nothing"
    } else {
        "neither is more specific than the other, and the order of routes in the file means nothing"
    };
    let help = if is_certain {
        "make one more specific, or give it a higher `priority`"
    } else {
        "give one a higher `priority`: which one does not matter if no request matches both"
    };
    Diagnostic::new(Code::AmbiguousRoute, second.path_origin, message)
        .label(format!("`{}`", second.name))
        .related(first.path_origin, format!("`{}`", first.name))
        .cause(cause)
        .help(help)
}

/// Routes with their ranks, highest first.
type Ranked<'s> = Vec<(Rank, &'s Route)>;

/// Routes that may go before others, by what they take.
#[derive(Default)]
struct Wide<'s> {
    catch_alls: Ranked<'s>,
    by_path: HashMap<&'s PathMatch, Ranked<'s>>,
    /// Globs and regular expressions by the text that their paths begin with.
    by_literal: HashMap<&'s str, Ranked<'s>>,
    /// The lengths of those texts.
    lengths: BTreeSet<usize>,
}

impl<'s> Wide<'s> {
    fn of(routes: impl Iterator<Item = &'s Route>) -> Self {
        let mut wide = Self::default();
        for route in routes {
            let ranked = (route.rank(), route);
            if takes_everything(&route.path) {
                wide.catch_alls.push(ranked);
            } else if matches!(route.path, PathMatch::Glob(_) | PathMatch::Regex(_)) {
                let literal = literal_prefix(&route.path);
                wide.by_literal.entry(literal).or_default().push(ranked);
                wide.lengths.insert(literal.len());
            }
            wide.by_path.entry(&route.path).or_default().push(ranked);
        }
        let lists = wide
            .by_path
            .values_mut()
            .chain(wide.by_literal.values_mut());
        for routes in lists.chain([&mut wide.catch_alls]) {
            routes.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        }
        wide
    }

    /// A route of higher rank that covers `route`, if there is one.
    fn shadow(&self, route: &'s Route, budget: &mut Budget<'s>) -> Option<&'s Route> {
        let same = self.by_path.get(&route.path);
        let above = ancestors(&route.path).filter_map(|prefix| self.by_path.get(&prefix));
        let mut lists = std::iter::once(&self.catch_alls).chain(same).chain(above);
        let rank = route.rank();
        let by_text = lists.find_map(|list| {
            let higher = list.iter().take_while(|(other, _)| *other > rank);
            let mut affordable = higher.map_while(|(_, other)| {
                let is_affordable = budget.spend(route, other);
                is_affordable.then(|| budget.covers(other, route).then_some(*other))
            });
            affordable.find_map(|covering| covering)
        });
        by_text.or_else(|| self.shadowing_pattern(route, budget))
    }

    fn shadowing_pattern(&self, route: &'s Route, budget: &mut Budget<'s>) -> Option<&'s Route> {
        let rank = route.rank();
        let literal = literal_prefix(&route.path);
        let begins = self
            .lengths
            .range(..=literal.len())
            .filter_map(|length| literal.get(..*length));
        let mut lists = begins.filter_map(|begin| self.by_literal.get(begin));
        lists.find_map(|list| {
            let mut higher = list.iter().take_while(|(other, _)| *other > rank);
            let (_, other) = higher.find(|(_, other)| budget.pattern_covers(other, route))?;
            Some(*other)
        })
    }
}

/// Reports routes that another one always goes before.
fn unreachable<'s>(
    site: &'s Site,
    sound: &[usize],
    ambiguous: &HashSet<usize>,
    budget: &mut Budget<'s>,
    report: &mut Report,
) {
    let wide = Wide::of(sound.iter().map(|index| &site.routes[*index]));
    for index in sound.iter().filter(|index| !ambiguous.contains(index)) {
        let route = &site.routes[*index];
        if let Some(shadow) = wide.shadow(route, budget) {
            let message = format!("the route `{}` can never be chosen", route.name);
            report.push(
                Diagnostic::new(Code::UnreachableRoute, route.path_origin, message)
                    .label("never reached")
                    .related(
                        shadow.path_origin,
                        format!("`{}` takes all its requests", shadow.name),
                    )
                    .help("remove it, or change the `priority` of one of them"),
            );
        }
    }
}

/// The prefixes that contain all paths of a route, as far as a literal text tells, without the route's own.
fn ancestors(path: &PathMatch) -> impl Iterator<Item = PathMatch> {
    let text = literal_prefix(path);
    let slashes = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| *byte == b'/' && *at > 0);
    // More follows the text of a pattern, so that the text itself may be a prefix.
    let end_max = match path {
        PathMatch::Exact(_) | PathMatch::Prefix(_) => text.len().saturating_sub(1),
        PathMatch::Glob(_) | PathMatch::Regex(_) => text.len(),
    };
    let ends: Vec<usize> = slashes
        .flat_map(|(at, _)| [at, at + 1])
        .filter(|end| *end <= end_max)
        .collect();
    // An exact path also has a prefix of the same text.
    let whole = matches!(path, PathMatch::Exact(_)).then_some(text.len());
    ends.into_iter()
        .chain(whole)
        .map(move |end| PathMatch::Prefix(text[..end].to_owned()))
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests;
