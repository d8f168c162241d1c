//! The difference of two texts, line by line, as people read it.

use std::fmt::Write;

/// Lines that are shown around a change.
const CONTEXT_LINES: usize = 3;

/// Lines that may have come and gone until a text is shown as replaced from its first change to its last.
const EDITS_MAX: usize = 1000;

/// What became of lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Edit {
    Kept,
    Removed,
    Added,
}

/// A text, and how each of its lines is shown.
#[derive(Clone, Copy)]
pub(crate) struct Side<'t> {
    pub(crate) text: &'t str,
    /// As many lines as the text.
    pub(crate) shown: &'t str,
}

/// The hunks of a unified difference; empty for the same text.
pub(crate) fn hunks(old: Side<'_>, new: Side<'_>) -> String {
    let edits = edits(&lines(old.text), &lines(new.text));
    let (old_shown, new_shown) = (lines(old.shown), lines(new.shown));
    let mut out = String::new();
    for (first, last) in groups(&edits) {
        write_hunk(&edits, first, last, (&old_shown, &new_shown), &mut out);
    }
    out
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

/// Which edits are shown together, with what is around them.
fn groups(edits: &[Edit]) -> Vec<(usize, usize)> {
    let mut groups: Vec<(usize, usize)> = Vec::new();
    let changed = (edits.iter().enumerate()).filter(|(_, edit)| **edit != Edit::Kept);
    for (at, _) in changed {
        let first = at.saturating_sub(CONTEXT_LINES);
        let last = (at + CONTEXT_LINES).min(edits.len() - 1);
        match groups.last_mut() {
            Some((_, end)) if first <= *end + 1 => *end = last,
            _ => groups.push((first, last)),
        }
    }
    groups
}

fn write_hunk(
    edits: &[Edit],
    first: usize,
    last: usize,
    (old, new): (&[&str], &[&str]),
    out: &mut String,
) {
    let count = |range: &[Edit], other: Edit| range.iter().filter(|edit| **edit != other).count();
    let (before, within) = (&edits[..first], &edits[first..=last]);
    let (mut old_at, mut new_at) = (count(before, Edit::Added), count(before, Edit::Removed));
    let (old_count, new_count) = (count(within, Edit::Added), count(within, Edit::Removed));
    // An empty range is named by the line before it.
    let start = |at: usize, count: usize| at + usize::from(count > 0);
    let _ = writeln!(
        out,
        "@@ -{},{old_count} +{},{new_count} @@",
        start(old_at, old_count),
        start(new_at, new_count)
    );
    for edit in within {
        let (sign, line) = match edit {
            Edit::Kept => (' ', new.get(new_at)),
            Edit::Removed => ('-', old.get(old_at)),
            Edit::Added => ('+', new.get(new_at)),
        };
        let _ = writeln!(out, "{sign}{}", line.unwrap_or(&""));
        old_at += usize::from(*edit != Edit::Added);
        new_at += usize::from(*edit != Edit::Removed);
    }
}

/// What became of each line, in the order of the texts (E. W. Myers, "An O(ND) Difference Algorithm", 1986).
fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let same = |pair: &(&&str, &&str)| pair.0 == pair.1;
    let head = old.iter().zip(new).take_while(same).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(same)
        .count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let mut edits = vec![Edit::Kept; head];
    match shortest(old, new) {
        Some(middle) => edits.extend(middle),
        None => {
            edits.extend(std::iter::repeat_n(Edit::Removed, old.len()));
            edits.extend(std::iter::repeat_n(Edit::Added, new.len()));
        }
    }
    edits.extend(std::iter::repeat_n(Edit::Kept, tail));
    edits
}

/// How far each diagonal `k = x - y` was come to with a number of edits; `k` counts from `-edits`.
type Reach = Vec<usize>;

/// The fewest edits, unless they are too many.
fn shortest(old: &[&str], new: &[&str]) -> Option<Vec<Edit>> {
    let mut trace: Vec<Reach> = Vec::new();
    for edits in 0..=EDITS_MAX.min(old.len() + new.len()) {
        let mut reach = vec![0; 2 * edits + 1];
        // Every second diagonal can be reached with this number of edits.
        for at in (0..=2 * edits).step_by(2) {
            let mut x = match trace.last() {
                None => 0,
                Some(last) => step(last, at, edits).0,
            };
            // A diagonal beyond the old text's end or above the new one's beginning leads nowhere.
            let Some(mut y) = (x + edits).checked_sub(at) else {
                continue;
            };
            while x < old.len() && y < new.len() && old[x] == new[y] {
                (x, y) = (x + 1, y + 1);
            }
            reach[at] = x;
            if x >= old.len() && y >= new.len() {
                trace.push(reach);
                return Some(walk_back(&trace, at, old.len()));
            }
        }
        trace.push(reach);
    }
    None
}

/// Where a diagonal begins by the best one beside it, and whether that was by taking a line of the new text.
fn step(last: &Reach, at: usize, edits: usize) -> (usize, bool) {
    // The same diagonal is one place further in a row that is two longer.
    let below = at.checked_sub(2).and_then(|at| last.get(at));
    let above = (at < 2 * edits).then(|| last.get(at)).flatten();
    match (below, above) {
        (Some(below), Some(above)) if below < above => (*above, true),
        (Some(below), _) => (below + 1, false),
        (None, Some(above)) => (*above, true),
        (None, None) => (0, true),
    }
}

fn walk_back(trace: &[Reach], mut at: usize, mut x: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    for round in (1..trace.len()).rev() {
        let (start, is_added) = step(&trace[round - 1], at, round);
        edits.extend(std::iter::repeat_n(Edit::Kept, x - start));
        edits.push(match is_added {
            true => Edit::Added,
            false => Edit::Removed,
        });
        x = start - usize::from(!is_added);
        at = if is_added { at } else { at - 2 };
    }
    edits.extend(std::iter::repeat_n(Edit::Kept, x));
    edits.reverse();
    edits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side(text: &str) -> Side<'_> {
        Side { text, shown: text }
    }

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let new = "a\nb\nc\nd\nX\nf\ng\nh\nY\n";
        let expected = "@@ -2,7 +2,8 @@\n b\n c\n d\n-e\n+X\n f\n g\n h\n+Y\n";
        assert_eq!(hunks(side(old), side(new)), expected);
        assert_eq!(hunks(side(old), side(old)), "");
        assert_eq!(hunks(side(""), side("a\n")), "@@ -0,0 +1,1 @@\n+a\n");
    }

    #[test]
    fn far_changes_are_hunks_of_their_own() {
        let old: String = (0..30).map(|n| format!("{n}\n")).collect();
        let new = old.replace("2\n", "two\n");
        let told = hunks(
            side("x\n1\n1\n1\n1\n1\n1\n1\n1\ny\n"),
            side("1\n1\n1\n1\n1\n1\n1\n1\n"),
        );
        assert_eq!(told.matches("@@ -").count(), 2, "{told}");
        assert!(hunks(side(&old), side(&new)).starts_with("@@ -1,6 +1,6 @@\n"));
    }

    #[test]
    fn lines_are_compared_as_they_are_and_shown_as_they_may_be() {
        let (old, new) = ("token = 1", "token = 2");
        let shown = "token = …";
        let told = hunks(Side { text: old, shown }, Side { text: new, shown });
        assert_eq!(told, "@@ -1,1 +1,1 @@\n-token = …\n+token = …\n");
    }

    #[test]
    fn texts_that_share_nothing_cost_little() {
        let text = |word: &str| {
            (0..20_000)
                .map(|n| format!("{word}{n}\n"))
                .collect::<String>()
        };
        let (old, new) = (text("a"), text("b"));
        let told = hunks(side(&old), side(&new));
        assert_eq!(told.lines().count(), 40_001);
    }

    /// Both texts again.
    fn replay(old: &[&str], new: &[&str]) -> (Vec<String>, Vec<String>) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let (mut x, mut y) = (0, 0);
        for edit in edits(old, new) {
            if edit != Edit::Added {
                left.push(old[x].to_owned());
                x += 1;
            }
            if edit != Edit::Removed {
                right.push(new[y].to_owned());
                y += 1;
            }
            if edit == Edit::Kept {
                assert_eq!(old[x - 1], new[y - 1]);
            }
        }
        (left, right)
    }

    proptest! {
        #[test]
        fn edits_lead_from_one_text_to_the_other(
            old in prop::collection::vec("[abc]", 0..30),
            new in prop::collection::vec("[abc]", 0..30),
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let (left, right) = replay(&old, &new);
            prop_assert_eq!(left, old);
            prop_assert_eq!(right, new);
        }
    }
}
