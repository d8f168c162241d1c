//! The compiled routes of one site.

use crate::conditions::{Conditions, Refusal};
use crate::paths::{PathIndex, PathIndexBuilder, prefix_takes};
use crate::pattern::PathPattern;
use crate::rank;
use crate::router::Question;
use crate::spec::{PathMatch, Problem, RouteSpec};
use crate::trace::Cause;

/// No route.
const NONE: u32 = u32::MAX;

/// One route; its place in [`Site::routes`] is its rank, 0 being the best.
#[derive(Debug)]
struct Route {
    /// Index in the site's specification.
    index: u32,
    conditions: Option<Box<Conditions>>,
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

/// The routes of one site, best first, and the ways to find the few that may take a path.
#[derive(Debug)]
pub(crate) struct Site {
    routes: Box<[Route]>,
    /// What each takes, for explanations.
    tests: Box<[PathTest]>,
    /// The best route takes every request: there is nothing to look up.
    first_takes_all: bool,
    paths: PathIndex,
    /// Globs and regular expressions with their ranks, best first.
    patterns: Box<[(u32, PathPattern)]>,
}

impl Site {
    /// Compiles the routes; problems come with the route's index.
    pub(crate) fn compile(specs: &[RouteSpec]) -> Result<Site, Vec<(u32, Problem)>> {
        let mut problems = Vec::new();
        let mut routes = Vec::with_capacity(specs.len());
        let mut tests = Vec::with_capacity(specs.len());
        let mut paths = PathIndexBuilder::default();
        let mut patterns = Vec::new();
        for (rank, index) in (0..).zip(rank::order(specs)) {
            let spec = &specs[index as usize];
            let path = match &spec.path {
                PathMatch::Exact(text) | PathMatch::Prefix(text) if !text.starts_with('/') => {
                    problems.push((index, Problem::PathNotAbsolute));
                    continue;
                }
                PathMatch::Exact(text) => {
                    paths.exact(text, rank);
                    PathTest::Exact(text.as_bytes().into())
                }
                PathMatch::Prefix(text) => {
                    paths.prefix(text, rank);
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
            match Conditions::compile(spec) {
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
        Ok(Site {
            routes: routes.into(),
            tests: tests.into(),
            first_takes_all,
            paths: paths.build(),
            patterns: patterns.into(),
        })
    }

    /// The index of the best route whose conditions all hold.
    #[inline]
    pub(crate) fn find(&self, question: &Question<'_>) -> Option<u32> {
        let rank = if self.first_takes_all {
            0
        } else {
            self.search(question)
        };
        self.routes.get(rank as usize).map(|route| route.index)
    }

    /// The best rank, or [`NONE`]. Texts are looked up first, as that is cheap; a pattern is searched for only if it
    /// would beat what they found.
    fn search(&self, question: &Question<'_>) -> u32 {
        let mut best = NONE;
        self.paths.visit(question.path, |ranks| {
            for &rank in ranks {
                if rank >= best {
                    break;
                }
                if self.routes[rank as usize].refusal(question).is_none() {
                    best = rank;
                    break;
                }
            }
        });
        for (rank, pattern) in &self.patterns {
            if *rank >= best {
                break;
            }
            if self.routes[*rank as usize].refusal(question).is_none()
                && pattern.takes(question.path)
            {
                return *rank;
            }
        }
        best
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

    fn path_takes(&self, test: &PathTest, path: &[u8]) -> bool {
        match test {
            PathTest::Exact(text) => **text == *path,
            PathTest::Prefix(text) => **text == *b"/" || prefix_takes(text, path),
            PathTest::Pattern(at) => self.patterns[*at as usize].1.takes(path),
        }
    }
}
