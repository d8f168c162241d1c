//! Exact paths and prefixes of a site in one sorted list: one binary search finds all that take a path.
//!
//! Every text that a path begins with sorts at or before the path, and everything between such a text and the path
//! begins with that text too. So all of them are the list's last entry not after the path, or its ancestors: what an
//! entry's `parent` chain leads through. The cost depends on the configuration alone, never on how a path is made.

use std::collections::BTreeMap;

/// No parent.
const NONE: u32 = u32::MAX;

/// Up to so many keys are all compared, which lets their loads overlap; beyond that a search by halves looks at fewer.
const SCANNED_MAX: usize = 16;

/// Ranks of routes, ascending: one stands here itself, as nearly every text has just one; more stand in
/// [`PathIndex::ranks`].
#[derive(Clone, Copy, Debug, Default)]
struct Ranks {
    /// The rank, or the place of the first of several.
    first: u32,
    count: u32,
}

#[derive(Clone, Debug)]
struct Entry {
    /// The text's place in [`PathIndex::text`], behind the stem, which is not kept there.
    start: u32,
    length: u32,
    /// The routes for exactly this path.
    exact: Ranks,
    /// The routes for this prefix.
    prefix: Ranks,
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
        let stem = self.stem();
        let mut index = PathIndex::default();
        let mut entries: Vec<Entry> = Vec::new();
        // Prefixes that the current text begins with, longest last.
        let mut open: Vec<(u32, &[u8])> = Vec::new();
        for (at, (text, (exact, prefix))) in (0..).zip(&self.texts) {
            while open.last().is_some_and(|(_, last)| !text.starts_with(last)) {
                open.pop();
            }
            let behind = &text[stem.len()..];
            entries.push(Entry {
                start: index.text.len() as u32,
                length: behind.len() as u32,
                exact: index.keep(exact),
                prefix: index.keep(prefix),
                parent: open.last().map_or(NONE, |(parent, _)| *parent),
            });
            index.text.extend_from_slice(behind);
            if !prefix.is_empty() {
                open.push((at, text));
            }
        }
        index.keys = self
            .texts
            .keys()
            .map(|text| key(&text[stem.len()..]))
            .collect();
        index.root = index.keep(&self.root);
        index.entries = entries.into();
        index.stem = stem.into();
        index
    }

    /// What all texts begin with.
    fn stem(&self) -> &[u8] {
        let (Some((first, _)), Some((last, _))) =
            (self.texts.first_key_value(), self.texts.last_key_value())
        else {
            return &[];
        };
        // They are sorted: what the outermost share, all share.
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        &first[..shared]
    }
}

/// The first eight bytes as a number that sorts as they do. Texts whose keys differ sort as the keys do, since what a
/// shorter one lacks counts as zeros, below which no byte is.
#[inline]
fn key(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk::<8>() {
        return u64::from_be_bytes(*eight);
    }
    let mut eight = [0; 8];
    eight[..text.len()].copy_from_slice(text);
    u64::from_be_bytes(eight)
}

/// The exact paths and prefixes of one site.
///
/// A choice among thousands of sites finds little of any site in the processor's caches, so what it looks at is kept
/// close together: all keys in a few cache lines, then one entry and its text.
#[derive(Default, Debug)]
pub(crate) struct PathIndex {
    /// What all texts begin with.
    stem: Box<[u8]>,
    /// The first bytes of each text behind the stem.
    keys: Box<[u64]>,
    entries: Box<[Entry]>,
    /// All texts behind the stem, one behind the other.
    text: Vec<u8>,
    /// Ranks of texts that have several.
    ranks: Vec<u32>,
    /// The prefix `/`, which takes everything.
    root: Ranks,
}

impl PathIndex {
    /// Calls `visit` with the ranks of the routes for each text that takes `path`: the exact one first, then prefixes
    /// from the longest to `/`.
    #[inline]
    pub(crate) fn visit(&self, path: &[u8], mut visit: impl FnMut(&[u32])) {
        let (behind, last) = self.at_or_before(path);
        if let Some(last) = last {
            let entry = &self.entries[last];
            if entry.exact.count > 0 && self.text_of(entry) == behind {
                visit(self.ranks_of(&entry.exact));
            }
            let mut at = Some(entry);
            while let Some(entry) = at {
                if entry.prefix.count > 0 && self.takes(entry, path, behind) {
                    visit(self.ranks_of(&entry.prefix));
                }
                at = self.entries.get(entry.parent as usize);
            }
        }
        if self.root.count > 0 {
            visit(self.ranks_of(&self.root));
        }
    }

    /// What stands behind the stem in `path`, and the last text not after it.
    #[inline]
    fn at_or_before<'a>(&self, path: &'a [u8]) -> (&'a [u8], Option<usize>) {
        // What does not begin with the stem has no text that it begins with: all sort on one side of it.
        let Some(behind) = path.strip_prefix(&*self.stem) else {
            return (&[], None);
        };
        let key = key(behind);
        let below = if self.keys.len() <= SCANNED_MAX {
            self.keys.iter().filter(|&&one| one < key).count()
        } else {
            self.keys.partition_point(|&one| one < key)
        };
        let alike = self.keys[below..]
            .iter()
            .take_while(|&&one| one == key)
            .count();
        let not_after = match alike {
            0 => below,
            _ => {
                let alike = &self.entries[below..below + alike];
                below + alike.partition_point(|entry| self.text_of(entry) <= behind)
            }
        };
        (behind, not_after.checked_sub(1))
    }

    /// Whether an entry's text is a prefix that takes `path`, of which `behind` stands behind the stem.
    #[inline]
    fn takes(&self, entry: &Entry, path: &[u8], behind: &[u8]) -> bool {
        let text = self.text_of(entry);
        // An empty rest stands for the stem itself, and its last byte decides.
        match text.is_empty() {
            true => prefix_takes(&self.stem, path),
            false => prefix_takes(text, behind),
        }
    }

    fn keep(&mut self, ranks: &[u32]) -> Ranks {
        let count = ranks.len() as u32;
        if let &[first] = ranks {
            return Ranks { first, count };
        }
        let first = self.ranks.len() as u32;
        self.ranks.extend_from_slice(ranks);
        Ranks { first, count }
    }

    #[inline]
    fn text_of(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start as usize..][..entry.length as usize]
    }

    #[inline]
    fn ranks_of<'a>(&'a self, ranks: &'a Ranks) -> &'a [u32] {
        if ranks.count == 1 {
            return std::slice::from_ref(&ranks.first);
        }
        &self.ranks[ranks.first as usize..][..ranks.count as usize]
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
