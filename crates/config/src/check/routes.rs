//! Routes of a site: names, ambiguity, reachability.
//!
//! Comparing every pair would be quadratic. Routes that can be told apart by a hash (other path, other exact value of a
//! header) never meet; what remains is compared pair by pair, within a budget.

use super::overlap::{cost, covers, may_overlap, takes_everything};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::sections::literal_prefix;
use crate::settings::{FieldMatch, PathMatch, Rank, Route, Site, ValueMatch};
use std::collections::{HashMap, HashSet};

/// Work that may still be spent on comparing routes.
pub(super) struct Budget {
    comparisons: usize,
}

impl Budget {
    /// A million comparisons of texts take some milliseconds.
    pub(super) fn new() -> Self {
        Self {
            comparisons: 1_000_000,
        }
    }

    /// Whether two routes may still be compared.
    fn spend(&mut self, one: &Route, other: &Route) -> bool {
        let is_left = self.comparisons > 0;
        self.comparisons = self.comparisons.saturating_sub(cost(one, other));
        is_left
    }
}

/// Reports routes of a site that clash; `sound` are the indices of those without errors.
pub(super) fn check(site: &Site, sound: &[usize], budget: &mut Budget, report: &mut Report) {
    duplicate_names(site, report);
    let was_left = budget.comparisons > 0;
    let ambiguous = ambiguous(site, sound, budget, report);
    unreachable(site, sound, &ambiguous, budget, report);
    if was_left && budget.comparisons == 0 {
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
fn ambiguous(
    site: &Site,
    sound: &[usize],
    budget: &mut Budget,
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

/// Compares the routes of a group, sorted by what their paths begin with: two routes can meet only if the beginning of
/// one is a beginning of the other's, and those stand on the stack.
fn compare(
    site: &Site,
    mut group: Vec<usize>,
    budget: &mut Budget,
    concerned: &mut HashSet<usize>,
    report: &mut Report,
) {
    let prefix = |index: usize| literal_prefix(&site.routes[index].path);
    group.sort_by_key(|index| (prefix(*index), *index));
    let mut stack: Vec<usize> = Vec::new();
    for index in group {
        while stack
            .last()
            .is_some_and(|top| !prefix(index).starts_with(prefix(*top)))
        {
            stack.pop();
        }
        let clash = stack
            .iter()
            .take_while(|other| budget.spend(&site.routes[index], &site.routes[**other]))
            .find(|other| may_overlap(&site.routes[index], &site.routes[**other]))
            .copied();
        if let Some(other) = clash {
            concerned.extend([index, other]);
            let (first, second) = (index.min(other), index.max(other));
            report.push(ambiguity(&site.routes[first], &site.routes[second]));
        }
        stack.push(index);
    }
}

fn ambiguity(first: &Route, second: &Route) -> Diagnostic {
    let message = format!(
        "the routes `{}` and `{}` can match the same request",
        first.name, second.name
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
    Diagnostic::new(Code::AmbiguousRoute, second.path_origin, message)
        .label(format!("`{}`", second.name))
        .related(first.path_origin, format!("`{}`", first.name))
        .cause(cause)
        .help("make one more specific, or give it a higher `priority`")
}

/// Routes of one path with their ranks, highest first.
type Ranked<'s> = Vec<(Rank, &'s Route)>;

/// Reports routes that another one always goes before.
fn unreachable(
    site: &Site,
    sound: &[usize],
    ambiguous: &HashSet<usize>,
    budget: &mut Budget,
    report: &mut Report,
) {
    let mut by_path: HashMap<&PathMatch, Ranked<'_>> = HashMap::new();
    let mut catch_alls: Ranked<'_> = Vec::new();
    for route in sound.iter().map(|index| &site.routes[*index]) {
        let ranked = (route.rank(), route);
        if takes_everything(&route.path) {
            catch_alls.push(ranked);
        }
        by_path.entry(&route.path).or_default().push(ranked);
    }
    let highest_first =
        |routes: &mut Ranked<'_>| routes.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
    highest_first(&mut catch_alls);
    by_path.values_mut().for_each(highest_first);
    for index in sound.iter().filter(|index| !ambiguous.contains(index)) {
        let route = &site.routes[*index];
        let same = by_path.get(&route.path);
        let above = ancestors(&route.path).filter_map(|prefix| by_path.get(&prefix));
        if let Some(shadow) = shadow(
            route,
            std::iter::once(&catch_alls).chain(same).chain(above),
            budget,
        ) {
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

/// A route of higher rank that covers `route`, if there is one in the lists.
fn shadow<'s, 'l>(
    route: &Route,
    mut lists: impl Iterator<Item = &'l Ranked<'s>>,
    budget: &mut Budget,
) -> Option<&'s Route>
where
    's: 'l,
{
    let rank = route.rank();
    lists.find_map(|list| {
        let higher = list.iter().take_while(|(other, _)| *other > rank);
        let mut affordable = higher.take_while(|(_, other)| budget.spend(route, other));
        affordable
            .find(|(_, other)| covers(other, route))
            .map(|(_, other)| *other)
    })
}

/// The prefixes that contain a literal path, without itself.
fn ancestors(path: &PathMatch) -> impl Iterator<Item = PathMatch> {
    let text = match path {
        PathMatch::Exact(path) | PathMatch::Prefix(path) => path.as_str(),
        PathMatch::Glob(_) | PathMatch::Regex(_) => "",
    };
    let slashes = text
        .bytes()
        .enumerate()
        .filter(|(at, byte)| *byte == b'/' && *at > 0);
    let ends: Vec<usize> = slashes
        .flat_map(|(at, _)| [at, at + 1])
        .filter(|end| *end < text.len())
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
