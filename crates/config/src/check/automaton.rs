//! Patterns of paths as automata: whether two share a path, and whether one takes all that another does.
//!
//! A pattern is searched for in the normal form of a path. Two automata walk side by side over everything that such a form
//! may be, so that what is found is true of all paths, not of some that were tried. `OPTIONS *` has no path and is left
//! out of account.

use crate::settings::PathMatch;
use regex_automata::dfa::dense::{self, DFA};
use regex_automata::dfa::{Automaton as _, StartKind};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_syntax::hir::{
    Class, ClassBytes, ClassBytesRange, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look,
    Repetition,
};
use std::collections::HashSet;

/// What an automaton may take, and what building it may take for a while. Larger patterns stay undecided.
const AUTOMATON_BYTES_MAX: usize = 128 << 10;

/// How many states a walk may visit; a state is one of each automaton. Longer walks stay undecided.
const VISITED_STATES_MAX: usize = 20_000;

/// What it costs to read a pattern, in steps.
const PARSE_STEPS: usize = 2_000;

/// What it costs to begin a walk, in steps.
const WALK_STEPS: usize = 100;

/// The normal form of paths, or a little more than that: visible ASCII without what no target has raw, and encodings in
/// upper case of what is neither unreserved nor a control character.
const PATHS: &str =
    r##"(?-u)^/(?:[!-~&&[^"#%<>?]]|%(?:2[0-9A-CF]|3[A-F]|[46]0|5[B-E]|7[B-D]|[89A-F][0-9A-F]))*$"##;

/// What may still be spent on automata, in steps: a step looks at one byte, or at one byte of a new automaton.
#[derive(Debug)]
pub(super) struct Steps(pub(super) usize);

impl Steps {
    pub(super) fn spend(&mut self, steps: usize) {
        self.0 = self.0.saturating_sub(steps);
    }

    pub(super) fn are_spent(&self) -> bool {
        self.0 == 0
    }
}

/// A pattern that is searched for, as an automaton.
#[derive(Debug)]
pub(super) struct Automaton {
    dfa: DFA<Vec<u32>>,
    start: StateID,
}

impl Automaton {
    /// Everything that the path of a request may be.
    pub(super) fn of_all_paths() -> Self {
        Self::build(PATHS).expect("the pattern is valid and small")
    }

    /// The automaton of a pattern; `None` if it is larger than is worth its while.
    pub(super) fn of(path: &PathMatch, steps: &mut Steps) -> Option<Self> {
        let automaton = match path {
            PathMatch::Glob(glob) => Self::build(&glob_as_regex(glob)),
            PathMatch::Regex(regex) => Self::build(regex),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
        };
        // What fails has cost as much as what is as large as may be, several times over.
        let bytes = automaton
            .as_ref()
            .map_or(4 * AUTOMATON_BYTES_MAX, |it| it.dfa.memory_usage());
        steps.spend(PARSE_STEPS + bytes);
        automaton
    }

    fn build(regex: &str) -> Option<Self> {
        let hir = regex_syntax::ParserBuilder::new()
            .utf8(false)
            .build()
            .parse(regex)
            .ok()?;
        let config = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(AUTOMATON_BYTES_MAX));
        let nfa = thompson::Compiler::new()
            .configure(config)
            .build_from_hir(&ascii(hir))
            .ok()?;
        let config = dense::Config::new()
            .accelerate(false)
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
        let dfa = dense::Builder::new()
            .configure(config)
            .build_from_nfa(&nfa)
            .ok()?;
        let start = dfa.start_state(&start::Config::new()).ok()?;
        Some(Self { dfa, start })
    }

    /// What was found is found, whatever comes behind it.
    fn step(&self, at: StateID, byte: u8) -> StateID {
        if self.dfa.is_match_state(at) {
            at
        } else {
            self.dfa.next_state(at, byte)
        }
    }

    fn run(&self, text: &str) -> StateID {
        text.bytes()
            .fold(self.start, |at, byte| self.step(at, byte))
    }

    /// Whether what led to the state is taken if nothing more comes.
    fn takes_at(&self, at: StateID) -> bool {
        self.takes_all_from(at) || self.dfa.is_match_state(self.dfa.next_eoi_state(at))
    }

    /// True only if everything is taken that continues what led to the state.
    fn takes_all_from(&self, at: StateID) -> bool {
        self.dfa.is_match_state(at)
    }

    /// True only if nothing is taken that continues what led to the state.
    fn takes_none_from(&self, at: StateID) -> bool {
        self.dfa.is_dead_state(at)
    }

    /// Whether it takes this path.
    pub(super) fn takes(&self, path: &str, steps: &mut Steps) -> bool {
        steps.spend(path.len());
        path.is_ascii() && self.takes_at(self.run(path))
    }

    /// Whether it takes a path at all; `None` if that would take too long to tell.
    pub(super) fn takes_any(&self, paths: &Self, steps: &mut Steps) -> Option<bool> {
        let machines = [paths, self];
        let walk = Walk {
            machines,
            is_hopeless: |at| hopeless(&machines, at),
            is_found: |at| all_take(&machines, at),
        };
        walk.finds([paths.start, self.start], steps)
    }

    /// Whether a path is taken by both; `None` if that would take too long to tell.
    pub(super) fn meets(&self, other: &Self, paths: &Self, steps: &mut Steps) -> Option<bool> {
        let machines = [paths, self, other];
        let walk = Walk {
            machines,
            is_hopeless: |at| hopeless(&machines, at),
            is_found: |at| all_take(&machines, at),
        };
        walk.finds([paths.start, self.start, other.start], steps)
    }

    /// Whether it takes every path that `narrow` takes; `None` if that would take too long to tell.
    pub(super) fn covers(&self, narrow: &Self, paths: &Self, steps: &mut Steps) -> Option<bool> {
        let taken = [paths, narrow];
        let walk = Walk {
            machines: [paths, narrow, self],
            is_hopeless: |at: [StateID; 3]| {
                hopeless(&taken, [at[0], at[1]]) || self.takes_all_from(at[2])
            },
            is_found: |at: [StateID; 3]| all_take(&taken, [at[0], at[1]]) && !self.takes_at(at[2]),
        };
        let escapes = walk.finds([paths.start, narrow.start, self.start], steps)?;
        Some(!escapes)
    }

    /// Whether it takes every path of a prefix; `None` if that would take too long to tell.
    pub(super) fn covers_prefix(
        &self,
        prefix: &str,
        paths: &Self,
        steps: &mut Steps,
    ) -> Option<bool> {
        if !prefix.ends_with('/') && !self.takes(prefix, steps) {
            return Some(false);
        }
        let mut below = prefix.to_owned();
        if !prefix.ends_with('/') {
            below.push('/');
        }
        steps.spend(below.len());
        let start = [paths.run(&below), self.run(&below)];
        if paths.takes_none_from(start[0]) {
            return Some(false);
        }
        let walk = Walk {
            machines: [paths, self],
            is_hopeless: |at: [StateID; 2]| {
                paths.takes_none_from(at[0]) || self.takes_all_from(at[1])
            },
            is_found: |at: [StateID; 2]| paths.takes_at(at[0]) && !self.takes_at(at[1]),
        };
        let escapes = walk.finds(start, steps)?;
        Some(!escapes)
    }
}

fn hopeless<const N: usize>(machines: &[&Automaton; N], at: [StateID; N]) -> bool {
    let mut each = machines.iter().zip(at);
    each.any(|(machine, at)| machine.takes_none_from(at))
}

fn all_take<const N: usize>(machines: &[&Automaton; N], at: [StateID; N]) -> bool {
    let mut each = machines.iter().zip(at);
    each.all(|(machine, at)| machine.takes_at(at))
}

/// A walk of several automata over the same bytes.
struct Walk<'a, const N: usize, H, F> {
    machines: [&'a Automaton; N],
    /// True only if nothing is found from there on.
    is_hopeless: H,
    is_found: F,
}

impl<const N: usize, H, F> Walk<'_, N, H, F>
where
    H: Fn([StateID; N]) -> bool,
    F: Fn([StateID; N]) -> bool,
{
    /// Whether what is looked for is found; `None` if that would take too long to tell.
    fn finds(&self, start: [StateID; N], steps: &mut Steps) -> Option<bool> {
        let bytes = self.distinct_bytes();
        steps.spend(WALK_STEPS);
        let mut seen = HashSet::with_hasher(foldhash::fast::FixedState::default());
        seen.insert(start);
        let mut open = vec![start];
        while let Some(at) = open.pop() {
            if (self.is_found)(at) {
                return Some(true);
            }
            if (self.is_hopeless)(at) {
                continue;
            }
            if seen.len() > VISITED_STATES_MAX || steps.are_spent() {
                return None;
            }
            steps.spend(bytes.len());
            for byte in &bytes {
                let mut next = at;
                for (machine, at) in self.machines.iter().zip(&mut next) {
                    *at = machine.step(*at, *byte);
                }
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        Some(false)
    }

    /// One byte of paths for each class of them that no automaton tells apart. Classes are runs of bytes; if they were not,
    /// there would be more bytes than needed.
    fn distinct_bytes(&self) -> Vec<u8> {
        let class = |byte: u8| {
            self.machines
                .map(|machine| machine.dfa.byte_classes().get(byte))
        };
        (b'!'..=b'~')
            .filter(|byte| *byte == b'!' || class(*byte) != class(*byte - 1))
            .collect()
    }
}

/// What an expression means for texts of ASCII: classes of all scripts would make it many times as large.
fn ascii(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) if !literal.0.is_ascii() => Hir::fail(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            let range = ClassUnicodeRange::new('\0', '\x7f');
            class.intersect(&ClassUnicode::new([range]));
            Hir::class(Class::Unicode(class))
        }
        HirKind::Class(Class::Bytes(mut class)) => {
            class.intersect(&ClassBytes::new([ClassBytesRange::new(0, 0x7f)]));
            Hir::class(Class::Bytes(class))
        }
        HirKind::Look(look) => Hir::look(match look {
            Look::WordUnicode => Look::WordAscii,
            Look::WordUnicodeNegate => Look::WordAsciiNegate,
            Look::WordStartUnicode => Look::WordStartAscii,
            Look::WordEndUnicode => Look::WordEndAscii,
            Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
            Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
            look => look,
        }),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(ascii(*repetition.sub)),
            ..repetition
        }),
        HirKind::Capture(capture) => ascii(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(ascii).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(ascii).collect()),
    }
}

/// The glob as an anchored expression over bytes.
fn glob_as_regex(glob: &str) -> String {
    let mut regex = String::from("(?s-u)^");
    let mut rest = glob;
    while let Some(at) = rest.find(['*', '?']) {
        regex.push_str(&regex_syntax::escape(&rest[..at]));
        rest = &rest[at..];
        let (length, expression) = if rest.starts_with("**") {
            (2, ".*")
        } else if rest.starts_with('*') {
            (1, "[^/]*")
        } else {
            (1, "(?:%[0-9A-F][0-9A-F]|[^/%])")
        };
        regex.push_str(expression);
        rest = &rest[length..];
    }
    regex.push_str(&regex_syntax::escape(rest));
    regex.push('$');
    regex
}

#[cfg(test)]
mod tests;
