//! Exact paths and prefixes of a site in one sorted list: one binary search finds all that take a path.
//!
//! Every text that a path begins with sorts at or before the path, and everything between such a text and the path
//! begins with that text too. So all of them are the list's last entry not after the path, or its ancestors: what an
//! entry's `parent` chain leads through. The cost depends on the configuration alone, never on how a path is made.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

/// No parent.
const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Entry {
    /// The text's place in [`PathIndex::text`].
    text: Range<u32>,
    /// Places in [`PathIndex::ranks`] of the routes for exactly this path.
    exact: Range<u32>,
    /// Places of the routes for this prefix.
    prefix: Range<u32>,
    /// The longest other prefix that this text begins with.
    parent: u32,
}

/// Collects what a [`PathIndex`] is built from; ranks come in ascending order.
#[derive(Default)]
pub(crate) struct PathIndexBuilder {
    texts: BTreeMap<Vec<u8>, (Vec<u32>, Vec<u32>)>,
    root: Vec<u32>,
}

impl PathIndexBuilder {
    pub(crate) fn exact(&mut self, path: &str, rank: u32) {
        self.texts.entry(path.into()).or_default().0.push(rank);
    }

    pub(crate) fn prefix(&mut self, path: &str, rank: u32) {
        if path == "/" {
            self.root.push(rank);
        } else {
            self.texts.entry(path.into()).or_default().1.push(rank);
        }
    }

    pub(crate) fn build(self) -> PathIndex {
        let mut index = PathIndex::default();
        // Prefixes that the current text begins with, longest last.
        let mut open: Vec<u32> = Vec::new();
        for (text, (exact, prefix)) in self.texts {
            while let Some(&last) = open.last() {
                if text.starts_with(index.text_of(last as usize)) {
                    break;
                }
                open.pop();
            }
            let at = index.entries.len() as u32;
            let entry = Entry {
                text: append(&mut index.text, &text),
                exact: append(&mut index.ranks, &exact),
                prefix: append(&mut index.ranks, &prefix),
                parent: open.last().copied().unwrap_or(NONE),
            };
            index.entries.push(entry);
            if !prefix.is_empty() {
                open.push(at);
            }
        }
        index.root = append(&mut index.ranks, &self.root);
        index
    }
}

fn append<T: Copy>(list: &mut Vec<T>, more: &[T]) -> Range<u32> {
    let start = list.len() as u32;
    list.extend_from_slice(more);
    start..list.len() as u32
}

/// The exact paths and prefixes of one site.
#[derive(Default, Debug)]
pub(crate) struct PathIndex {
    /// All texts, one behind the other.
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// Ranks, ascending within each entry's ranges.
    ranks: Vec<u32>,
    /// The prefix `/`, which takes everything.
    root: Range<u32>,
}

impl PathIndex {
    /// Calls `visit` with the ranks of the routes for each text that takes `path`: the exact one first, then prefixes
    /// from the longest to `/`.
    #[inline]
    pub(crate) fn visit(&self, path: &[u8], mut visit: impl FnMut(&[u32])) {
        if let Some(last) = self.at_or_before(path) {
            let entry = &self.entries[last];
            if !entry.exact.is_empty() && self.text_of(last) == path {
                visit(self.ranks_of(&entry.exact));
            }
            let mut at = last as u32;
            while let Some(entry) = self.entries.get(at as usize) {
                if !entry.prefix.is_empty() && prefix_takes(self.text_of(at as usize), path) {
                    visit(self.ranks_of(&entry.prefix));
                }
                at = entry.parent;
            }
        }
        if !self.root.is_empty() {
            visit(self.ranks_of(&self.root));
        }
    }

    #[inline]
    fn at_or_before(&self, path: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.text_of(middle).cmp(path) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        low.checked_sub(1)
    }

    #[inline]
    fn text_of(&self, at: usize) -> &[u8] {
        let range = &self.entries[at].text;
        &self.text[range.start as usize..range.end as usize]
    }

    #[inline]
    fn ranks_of(&self, range: &Range<u32>) -> &[u32] {
        &self.ranks[range.start as usize..range.end as usize]
    }
}

/// Whether a prefix other than `/` takes `path`, at a segment's border only.
#[inline]
pub(crate) fn prefix_takes(prefix: &[u8], path: &[u8]) -> bool {
    path.starts_with(prefix)
        && (prefix.last() == Some(&b'/') || matches!(path.get(prefix.len()), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn visited(index: &PathIndex, path: &str) -> Vec<u32> {
        let mut found = Vec::new();
        index.visit(path.as_bytes(), |ranks| found.extend_from_slice(ranks));
        found
    }

    #[test]
    fn exact_first_then_prefixes_by_length() {
        let mut builder = PathIndexBuilder::default();
        builder.prefix("/", 0);
        builder.prefix("/api", 1);
        builder.exact("/api/v1", 2);
        builder.prefix("/api/v1", 3);
        builder.prefix("/api/", 4);
        builder.prefix("/apia", 5);
        builder.exact("/api/v0", 6);
        let index = builder.build();
        for (path, expected) in [
            ("/api/v1", &[2, 3, 4, 1, 0][..]),
            ("/api/v1/x", &[3, 4, 1, 0]),
            ("/api/v10", &[4, 1, 0]),
            ("/api/", &[4, 1, 0]),
            ("/api", &[1, 0]),
            ("/apix", &[0]),
            ("/api/v0/x", &[4, 1, 0]),
            ("/", &[0]),
            ("", &[0]),
        ] {
            assert_eq!(visited(&index, path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            texts in proptest::collection::vec(("/[ab/]{0,5}", any::<bool>()), 0..30),
            path in "/[ab/]{0,7}",
        ) {
            let mut builder = PathIndexBuilder::default();
            let mut expected = Vec::new();
            for (rank, (text, exact)) in (0..).zip(&texts) {
                let takes = if *exact {
                    builder.exact(text, rank);
                    *text == path
                } else {
                    builder.prefix(text, rank);
                    text == "/" || prefix_takes(text.as_bytes(), path.as_bytes())
                };
                if takes {
                    expected.push(rank);
                }
            }
            let mut found = visited(&builder.build(), &path);
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
