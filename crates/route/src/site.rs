//! The compiled routes of one site.

use crate::conditions::{Conditions, Refusal};
use crate::paths::{Entry, PathIndex, PathIndexBuilder, Shelf, Taker, Takers, prefix_takes};
use crate::pattern::PathPattern;
use crate::rank;
use crate::router::Question;
use crate::spec::{PathMatch, Problem, RouteSpec};
use crate::trace::{Cause, Repeated};

/// One route; its place in [`Site::routes`] is its rank, 0 being the best.
#[derive(Debug)]
struct Route {
    /// Index in the site's specification.
    index: u32,
    conditions: Option<Box<Conditions>>,
}

/// A route that takes a request.
#[derive(Clone, Copy, Debug)]
struct Best {
    rank: u32,
    /// Index in the site's specification.
    index: u32,
}

#[derive(Debug)]
enum PathTest {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    /// The place in [`Site::patterns`].
    Pattern(u32),
}

impl Route {
    #[inline]
    fn refusal(&self, question: &Question<'_>) -> Option<Refusal> {
        let conditions = self.conditions.as_ref()?;
        conditions.refusal(question)
    }
}

/// The routes of one site, best first, and the ways to find the few that may take a path. What every request looks at
/// stands in two cache lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Site {
    paths: PathIndex,
    routes: Box<[Route]>,
    patterns: Option<Box<Patterns>>,
    /// The best route takes every request: there is nothing to look up.
    first_takes_all: bool,
    /// What each takes, for explanations.
    tests: Box<[PathTest]>,
}

/// The end of what every request looks at.
const _: () = assert!(std::mem::offset_of!(Site, tests) <= 128);

/// Globs and regular expressions with their ranks, best first.
#[derive(Debug)]
struct Patterns(Box<[(u32, PathPattern)]>);

impl Site {
    /// Compiles the routes of the next site that the shelf is to know; problems come with the route's index.
    pub(crate) fn compile(
        specs: &[RouteSpec],
        shelf: &mut Shelf,
    ) -> Result<Site, Vec<(u32, Problem)>> {
        let mut problems = Vec::new();
        let mut routes = Vec::with_capacity(specs.len());
        let mut tests = Vec::with_capacity(specs.len());
        let mut paths = PathIndexBuilder::default();
        let mut patterns = Vec::new();
        for (rank, index) in (0..).zip(rank::order(specs)) {
            let spec = &specs[index as usize];
            let conditions = Conditions::compile(spec);
            let sure = matches!(conditions, Ok(None)).then_some(index);
            let taker = Taker { rank, sure };
            let path = match &spec.path {
                PathMatch::Exact(text) | PathMatch::Prefix(text) if !text.starts_with('/') => {
                    problems.push((index, Problem::PathNotAbsolute));
                    continue;
                }
                PathMatch::Exact(text) => {
                    paths.exact(text, taker);
                    PathTest::Exact(text.as_bytes().into())
                }
                PathMatch::Prefix(text) => {
                    paths.prefix(text, taker);
                    PathTest::Prefix(text.as_bytes().into())
                }
                PathMatch::Glob(text) | PathMatch::Regex(text) => {
                    let compiled = match &spec.path {
                        PathMatch::Glob(_) => PathPattern::glob(text),
                        _ => PathPattern::regex(text),
                    };
                    match compiled {
                        Ok(pattern) => patterns.push((rank, pattern)),
                        Err(why) => problems.push((index, Problem::PathPattern(why))),
                    }
                    PathTest::Pattern(patterns.len().saturating_sub(1) as u32)
                }
            };
            match conditions {
                Ok(conditions) => {
                    routes.push(Route { index, conditions });
                    tests.push(path);
                }
                Err(found) => problems.extend(found.into_iter().map(|problem| (index, problem))),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let takes_all = |test: &PathTest| matches!(test, PathTest::Prefix(text) if **text == *b"/");
        let first_takes_all = routes.first().is_some_and(|one| one.conditions.is_none())
            && tests.first().is_some_and(takes_all);
        let (paths, entries) = paths.build();
        shelf.keep(entries);
        Ok(Site {
            routes: routes.into(),
            tests: tests.into(),
            first_takes_all,
            paths,
            patterns: (!patterns.is_empty()).then(|| Box::new(Patterns(patterns.into()))),
        })
    }

    /// The index of the best route whose conditions all hold. The shelf knows the site by its `number`.
    #[inline]
    pub(crate) fn find(&self, shelf: &Shelf, number: u32, question: &Question<'_>) -> Option<u32> {
        if self.first_takes_all {
            return self.routes.first().map(|route| route.index);
        }
        let entries = shelf.of(number);
        self.search(entries, question).map(|best| best.index)
    }

    /// The best route. Texts are looked up first, as that is cheap; a pattern is searched for only if it would beat what
    /// they found.
    fn search(&self, entries: &[Entry], question: &Question<'_>) -> Option<Best> {
        let mut best: Option<Best> = None;
        let beats = |best: Option<Best>, rank| best.is_none_or(|best| rank < best.rank);
        self.paths
            .visit(entries, question.path, |takers| match takers {
                Takers::Sure { rank, index } => {
                    if beats(best, rank) {
                        best = Some(Best { rank, index });
                    }
                }
                Takers::Ranks(ranks) => {
                    let better = ranks.iter().take_while(|rank| beats(best, **rank));
                    let taking = better
                        .filter_map(|rank| self.taking(*rank, question))
                        .next();
                    best = taking.or(best);
                }
            });
        match &self.patterns {
            Some(patterns) => self.search_patterns(patterns, question, best),
            None => best,
        }
    }

    /// The route of a rank, if it asks for nothing that the request lacks, its path aside.
    fn taking(&self, rank: u32, question: &Question<'_>) -> Option<Best> {
        let route = &self.routes[rank as usize];
        let index = route.index;
        route
            .refusal(question)
            .is_none()
            .then_some(Best { rank, index })
    }

    fn search_patterns(
        &self,
        patterns: &Patterns,
        question: &Question<'_>,
        best: Option<Best>,
    ) -> Option<Best> {
        let beats = |rank| best.is_none_or(|best| rank < best.rank);
        let mut better = patterns.0.iter().take_while(|(rank, _)| beats(*rank));
        let taking = better.find_map(|(rank, pattern)| {
            let taking = self.taking(*rank, question)?;
            pattern.takes(question.path).then_some(taking)
        });
        taking.or(best)
    }

    /// Tells `tell` why each route that ranks better than `found` (an index, or `None` for all routes) did not match.
    pub(crate) fn explain(
        &self,
        question: &Question<'_>,
        found: Option<u32>,
        mut tell: impl FnMut(u32, Cause),
    ) {
        for (route, test) in self.routes.iter().zip(&self.tests) {
            if Some(route.index) == found {
                return;
            }
            if !self.path_takes(test, question.path) {
                tell(route.index, Cause::Path);
            } else if let Some(conditions) = &route.conditions
                && let Some(refusal) = conditions.refusal(question)
            {
                tell(route.index, conditions.cause(refusal));
            }
        }
    }

    /// What came several times of all that the routes up to `found` ask for, as far as they take the path.
    pub(crate) fn repeated(&self, question: &Question<'_>, found: Option<u32>) -> Vec<Repeated> {
        let mut repeated: Vec<Repeated> = Vec::new();
        let before = self
            .routes
            .iter()
            .position(|route| Some(route.index) == found);
        let asked = before.map_or(self.routes.len(), |last| last + 1);
        for (route, test) in self.routes.iter().zip(&self.tests).take(asked) {
            let Some(conditions) = &route.conditions else {
                continue;
            };
            if !self.path_takes(test, question.path) {
                continue;
            }
            conditions.repeated(question, |condition, times| {
                if repeated.iter().all(|known| known.condition != condition) {
                    repeated.push(Repeated { condition, times });
                }
            });
        }
        repeated
    }

    fn path_takes(&self, test: &PathTest, path: &[u8]) -> bool {
        match test {
            PathTest::Exact(text) => **text == *path,
            PathTest::Prefix(text) => **text == *b"/" || prefix_takes(text, path),
            PathTest::Pattern(at) => self
                .patterns
                .as_ref()
                .is_some_and(|patterns| patterns.0[*at as usize].1.takes(path)),
        }
    }
}
