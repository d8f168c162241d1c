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

/// A route that takes a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Taker {
    pub(crate) rank: u32,
    /// Its index in the site's specification, if the path is all that it asks for.
    pub(crate) sure: Option<u32>,
}

/// The routes of one text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Takers<'a> {
    /// One that asks for nothing else.
    Sure { rank: u32, index: u32 },
    /// Ranks of routes that may ask for more, ascending.
    Ranks(&'a [u32]),
}

/// Routes as an entry holds them: one stands here itself, as nearly every text has just one; more stand in
/// [`PathIndex::ranks`].
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// The rank, or the place of the first of several.
    first: u32,
    count: u32,
    /// The index of the one that asks for nothing else, or [`NONE`].
    sure: u32,
}

impl Held {
    /// These routes, in ascending order of rank; kept in `several` if they are several.
    fn keep(takers: &[Taker], several: &mut Vec<u32>) -> Held {
        let count = takers.len() as u32;
        if let &[Taker { rank, sure }] = takers {
            return Held {
                first: rank,
                count,
                sure: sure.unwrap_or(NONE),
            };
        }
        let first = several.len() as u32;
        several.extend(takers.iter().map(|taker| taker.rank));
        Held {
            first,
            count,
            sure: NONE,
        }
    }
}

/// How many bytes of a text its key holds.
const KEY_BYTES: usize = 8;

/// How many bytes of what all texts begin with are kept apart from them.
const STEM_BYTES_MAX: usize = 23;

/// What all texts begin with, or the first bytes of it.
#[derive(Clone, Debug, Default)]
struct Stem {
    length: u8,
    text: [u8; STEM_BYTES_MAX],
}

impl Stem {
    fn of(text: &[u8]) -> Stem {
        let mut stem = Stem {
            length: text.len() as u8,
            text: [0; STEM_BYTES_MAX],
        };
        stem.text[..text.len()].copy_from_slice(text);
        stem
    }

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &self.text[..usize::from(self.length)]
    }
}

/// A text and its routes. The key stands with the rest: a search that looks at all keys has fetched the entry, too.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The first bytes of the text, behind the stem.
    key: u64,
    /// The text's place in [`PathIndex::text`], behind the stem, which is not kept there.
    start: u32,
    length: u32,
    /// The routes for exactly this path.
    exact: Held,
    /// The routes for this prefix.
    prefix: Held,
    /// The longest other prefix that this text begins with.
    parent: u32,
}

/// Collects what a [`PathIndex`] is built from; ranks come in ascending order.
#[derive(Default)]
pub(crate) struct PathIndexBuilder {
    texts: BTreeMap<Vec<u8>, (Vec<Taker>, Vec<Taker>)>,
    root: Vec<Taker>,
}

impl PathIndexBuilder {
    pub(crate) fn exact(&mut self, path: &str, taker: Taker) {
        self.texts.entry(path.into()).or_default().0.push(taker);
    }

    pub(crate) fn prefix(&mut self, path: &str, taker: Taker) {
        if path == "/" {
            self.root.push(taker);
        } else {
            self.texts.entry(path.into()).or_default().1.push(taker);
        }
    }

    /// The index and its entries, which a [`Shelf`] keeps.
    pub(crate) fn build(self) -> (PathIndex, Vec<Entry>) {
        let stem = self.stem();
        let mut entries: Vec<Entry> = Vec::new();
        let (mut texts, mut several) = (Vec::new(), Vec::new());
        // Prefixes that the current text begins with, longest last.
        let mut open: Vec<(u32, &[u8])> = Vec::new();
        for (at, (text, (exact, prefix))) in (0..).zip(&self.texts) {
            while open.last().is_some_and(|(_, last)| !text.starts_with(last)) {
                open.pop();
            }
            let behind = &text[stem.len()..];
            entries.push(Entry {
                key: key(behind),
                start: texts.len() as u32,
                length: behind.len() as u32,
                exact: Held::keep(exact, &mut several),
                prefix: Held::keep(prefix, &mut several),
                parent: open.last().map_or(NONE, |(parent, _)| *parent),
            });
            texts.extend_from_slice(behind);
            if !prefix.is_empty() {
                open.push((at, text));
            }
        }
        let index = PathIndex {
            stem: Stem::of(stem),
            root: Held::keep(&self.root, &mut several),
            text: texts.into(),
            ranks: several.into(),
        };
        (index, entries)
    }

    /// What all texts begin with, as far as it is kept apart.
    fn stem(&self) -> &[u8] {
        let (Some((first, _)), Some((last, _))) =
            (self.texts.first_key_value(), self.texts.last_key_value())
        else {
            return &[];
        };
        // They are sorted: what the outermost share, all share.
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        &first[..shared.min(STEM_BYTES_MAX)]
    }
}

/// The first eight bytes as a number that sorts as they do. Texts whose keys differ sort as the keys do, since what a
/// shorter one lacks counts as zeros, below which no byte is.
#[inline]
fn key(text: &[u8]) -> u64 {
    if let Some(eight) = text.first_chunk::<KEY_BYTES>() {
        return u64::from_be_bytes(*eight);
    }
    let mut eight = [0; KEY_BYTES];
    eight[..text.len()].copy_from_slice(text);
    u64::from_be_bytes(eight)
}

/// The entries of all sites, one site's behind the other's.
///
/// A choice among thousands of sites finds little of any site in the processor's caches, and has to wait for each thing
/// that leads to another. So the site's number alone leads to its entries, as it does to the rest of the site, and an entry
/// to the route: all that is fetched before it comes at the same time.
#[derive(Default, Debug)]
pub(crate) struct Shelf {
    entries: Vec<Entry>,
    /// Where those of each site end.
    ends: Vec<u32>,
}

impl Shelf {
    /// Keeps those of the next site.
    pub(crate) fn keep(&mut self, entries: Vec<Entry>) {
        self.entries.extend(entries);
        self.ends.push(self.entries.len() as u32);
    }

    /// Gives back what keeping has taken too much of.
    pub(crate) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// Those of the site with a number.
    #[inline]
    pub(crate) fn of(&self, site: u32) -> &[Entry] {
        let site = site as usize;
        let start = site.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.entries[start as usize..self.ends[site] as usize]
    }
}

/// The exact paths and prefixes of one site, but for the entries. A text is looked at only if its key does not hold all of
/// it.
#[derive(Default, Debug)]
#[repr(C)]
pub(crate) struct PathIndex {
    stem: Stem,
    /// The prefix `/`, which takes everything.
    root: Held,
    /// All texts behind the stem, one behind the other.
    text: Box<[u8]>,
    /// Ranks of texts that have several.
    ranks: Box<[u32]>,
}

/// A path that is looked for, behind the stem.
struct Sought<'p> {
    behind: &'p [u8],
    key: u64,
}

impl PathIndex {
    /// Calls `visit` with the routes for each text that takes `path`: the exact one first, then prefixes
    /// from the longest to `/`. The `entries` are those that came with the index.
    #[inline]
    pub(crate) fn visit(&self, entries: &[Entry], path: &[u8], mut visit: impl FnMut(Takers<'_>)) {
        // What does not begin with the stem has no text that it begins with: all sort on one side of it.
        if let Some(behind) = path.strip_prefix(self.stem.as_bytes()) {
            let key = key(behind);
            self.visit_behind(entries, &Sought { behind, key }, &mut visit);
        }
        if self.root.count > 0 {
            visit(self.takers(&self.root));
        }
    }

    #[inline]
    fn visit_behind(
        &self,
        entries: &[Entry],
        path: &Sought<'_>,
        visit: &mut impl FnMut(Takers<'_>),
    ) {
        let Some(last) = self.at_or_before(entries, path) else {
            return;
        };
        let entry = &entries[last];
        let is_whole = entry.length as usize == path.behind.len();
        if entry.exact.count > 0 && is_whole && self.begins(path, entry) {
            visit(self.takers(&entry.exact));
        }
        let mut at = Some(entry);
        while let Some(entry) = at {
            if entry.prefix.count > 0 && self.takes(path, entry) {
                visit(self.takers(&entry.prefix));
            }
            at = entries.get(entry.parent as usize);
        }
    }

    /// The last text not after the path.
    #[inline]
    fn at_or_before(&self, entries: &[Entry], path: &Sought<'_>) -> Option<usize> {
        let key = path.key;
        let below = if entries.len() <= SCANNED_MAX {
            entries.iter().filter(|one| one.key < key).count()
        } else {
            entries.partition_point(|one| one.key < key)
        };
        let alike = entries[below..]
            .iter()
            .take_while(|one| one.key == key)
            .count();
        let not_after = match alike {
            0 => below,
            _ => {
                let alike = &entries[below..below + alike];
                below + alike.partition_point(|entry| self.text_of(entry) <= path.behind)
            }
        };
        not_after.checked_sub(1)
    }

    /// Whether the path begins with an entry's text.
    #[inline]
    fn begins(&self, path: &Sought<'_>, entry: &Entry) -> bool {
        match entry.length as usize {
            0 => true,
            length if length > path.behind.len() => false,
            length @ 1..=KEY_BYTES => (entry.key ^ path.key) >> (8 * (KEY_BYTES - length)) == 0,
            _ => path.behind.starts_with(self.text_of(entry)),
        }
    }

    /// Whether an entry's text is a prefix that takes the path, at a segment's border only.
    #[inline]
    fn takes(&self, path: &Sought<'_>, entry: &Entry) -> bool {
        let ends_segment = || matches!(path.behind.get(entry.length as usize), None | Some(b'/'));
        self.begins(path, entry) && (ends_segment() || self.last_byte(entry) == Some(b'/'))
    }

    /// The last byte of an entry's text, which is the stem's if there is nothing behind it.
    #[inline]
    fn last_byte(&self, entry: &Entry) -> Option<u8> {
        match entry.length as usize {
            0 => self.stem.as_bytes().last().copied(),
            length @ 1..=KEY_BYTES => Some((entry.key >> (8 * (KEY_BYTES - length))) as u8),
            _ => self.text_of(entry).last().copied(),
        }
    }

    #[inline]
    fn text_of(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start as usize..][..entry.length as usize]
    }

    #[inline]
    fn takers<'a>(&'a self, held: &'a Held) -> Takers<'a> {
        match held.count {
            1 if held.sure != NONE => Takers::Sure {
                rank: held.first,
                index: held.sure,
            },
            1 => Takers::Ranks(std::slice::from_ref(&held.first)),
            count => Takers::Ranks(&self.ranks[held.first as usize..][..count as usize]),
        }
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

    /// Every third route asks for more.
    fn taker(rank: u32) -> Taker {
        let sure = (!rank.is_multiple_of(3)).then_some(rank + 100);
        Taker { rank, sure }
    }

    fn visited((index, entries): &(PathIndex, Vec<Entry>), path: &str) -> Vec<u32> {
        let mut found = Vec::new();
        index.visit(entries, path.as_bytes(), |takers| match takers {
            Takers::Sure { rank, index } => {
                assert_eq!(index, rank + 100);
                found.push(rank);
            }
            Takers::Ranks(ranks) => found.extend_from_slice(ranks),
        });
        found
    }

    #[test]
    fn exact_first_then_prefixes_by_length() {
        let mut builder = PathIndexBuilder::default();
        builder.prefix("/", taker(0));
        builder.prefix("/api", taker(1));
        builder.exact("/api/v1", taker(2));
        builder.prefix("/api/v1", taker(3));
        builder.prefix("/api/", taker(4));
        builder.prefix("/apia", taker(5));
        builder.exact("/api/v0", taker(6));
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
            mut texts in proptest::collection::vec(("/[ab/]{0,5}|/[ab/]{6,12}", any::<bool>()), 0..30),
            mut path in "/[ab/]{0,7}|/[ab/]{6,14}",
            // Nothing, or what all begin with, shorter and longer than what is kept apart.
            stem in prop_oneof![Just(String::new()), "/[ab]{6,8}", "/[a]{20,30}"],
            strays: bool,
        ) {
            for (text, _) in &mut texts {
                text.insert_str(0, &stem);
            }
            path.insert_str(0, if strays { "" } else { &stem });
            let mut builder = PathIndexBuilder::default();
            let mut expected = Vec::new();
            for (rank, (text, exact)) in (0..).zip(&texts) {
                let takes = if *exact {
                    builder.exact(text, taker(rank));
                    *text == path
                } else {
                    builder.prefix(text, taker(rank));
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
