//! The patterns of a configuration, each compiled once, when it is first compared.

use super::automaton::{Automaton, Steps};
use crate::settings::PathMatch;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// A larger pattern of a value is not tried.
const VALUE_PATTERN_BYTES_MAX: usize = 1 << 20;

/// What compiling a pattern of a value costs, in steps.
const VALUE_PATTERN_STEPS: usize = 5_000;

/// Patterns of paths and of values.
#[derive(Debug, Default)]
pub(super) struct Patterns<'s> {
    all_paths: Option<Automaton>,
    paths: HashMap<&'s PathMatch, Option<Automaton>>,
    values: HashMap<&'s str, Option<Regex>>,
}

impl<'s> Patterns<'s> {
    /// Whether a regular expression is found in a value; `None` if that is not known.
    pub(super) fn value_takes(
        &mut self,
        regex: &'s str,
        value: &str,
        steps: &mut Steps,
    ) -> Option<bool> {
        let compiled = match self.values.entry(regex) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if steps.are_spent() => return None,
            Entry::Vacant(new) => {
                steps.spend(VALUE_PATTERN_STEPS);
                let mut builder = RegexBuilder::new(regex);
                new.insert(builder.size_limit(VALUE_PATTERN_BYTES_MAX).build().ok())
            }
        };
        steps.spend(value.len());
        compiled
            .as_ref()
            .map(|regex| regex.is_match(value.as_bytes()))
    }

    /// Whether a path is taken at all; `None` if that is not known.
    pub(super) fn take_any(&mut self, path: &'s PathMatch, steps: &mut Steps) -> Option<bool> {
        self.compile(path, steps);
        self.compiled(path)?.takes_any(self.all_paths()?, steps)
    }

    /// Whether two patterns take the same path; `None` if that is not known.
    pub(super) fn meet(
        &mut self,
        one: &'s PathMatch,
        other: &'s PathMatch,
        steps: &mut Steps,
    ) -> Option<bool> {
        self.compile(one, steps);
        self.compile(other, steps);
        let (one, other) = (self.compiled(one)?, self.compiled(other)?);
        one.meets(other, self.all_paths()?, steps)
    }

    /// True only if a pattern takes every path that `narrow` takes, and that is at least one.
    pub(super) fn cover(
        &mut self,
        pattern: &'s PathMatch,
        narrow: &'s PathMatch,
        steps: &mut Steps,
    ) -> bool {
        self.compile(pattern, steps);
        if matches!(narrow, PathMatch::Glob(_) | PathMatch::Regex(_)) {
            self.compile(narrow, steps);
        }
        let (Some(wide), Some(paths)) = (self.compiled(pattern), self.all_paths()) else {
            return false;
        };
        match narrow {
            PathMatch::Exact(path) => wide.takes(path, steps),
            PathMatch::Prefix(prefix) => wide.covers_prefix(prefix, paths, steps) == Some(true),
            PathMatch::Glob(_) | PathMatch::Regex(_) => self.compiled(narrow).is_some_and(|it| {
                wide.covers(it, paths, steps) == Some(true)
                    && it.takes_any(paths, steps) == Some(true)
            }),
        }
    }

    fn compile(&mut self, path: &'s PathMatch, steps: &mut Steps) {
        if steps.are_spent() {
            return;
        }
        self.all_paths.get_or_insert_with(Automaton::of_all_paths);
        self.paths
            .entry(path)
            .or_insert_with(|| Automaton::of(path, steps));
    }

    fn compiled(&self, path: &PathMatch) -> Option<&Automaton> {
        self.paths.get(path)?.as_ref()
    }

    fn all_paths(&self) -> Option<&Automaton> {
        self.all_paths.as_ref()
    }
}
