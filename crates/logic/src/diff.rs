//! What changed from one text to another, line by line, as `diff -u` shows it.

use std::fmt::Write as _;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// Beyond this many differing lines the shortest list of changes is not looked for: the differing middle is shown as
/// removed and added whole. It bounds the work to this times the lines of both texts.
const DIFFERENCES_MAX: usize = 1_000;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Keep,
    Remove,
    Add,
}

/// The changes from `old` to `new` in the unified format; empty when they are the same.
#[must_use]
pub fn unified(old_name: &str, old: &str, new_name: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let (old, new) = (lines(old), lines(new));
    let edits = edits(&old, &new);
    let mut text = format!("--- {old_name}\n+++ {new_name}\n");
    for hunk in hunks(&edits) {
        print(&mut text, &edits, hunk, &old, &new);
    }
    text
}

/// The lines with their ends, so that a missing last one shows.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// The edits that make `new` of `old`.
fn edits(old: &[&str], new: &[&str]) -> Vec<Edit> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let middle = shortest(old, new).unwrap_or_else(|| {
        let removed = std::iter::repeat_n(Edit::Remove, old.len());
        removed.chain(std::iter::repeat_n(Edit::Add, new.len())).collect()
    });
    let kept = |count| std::iter::repeat_n(Edit::Keep, count);
    kept(head).chain(middle).chain(kept(tail)).collect()
}

/// The fewest edits (Myers 1986, "An O(ND) difference algorithm and its variations", the greedy one); `None`: there
/// are too many.
fn shortest(old: &[&str], new: &[&str]) -> Option<Vec<Edit>> {
    let limit = (old.len() + new.len()).min(DIFFERENCES_MAX);
    // For each diagonal k = x - y, at index k + limit + 1, how far along `old` one gets.
    let middle = limit + 1;
    let mut furthest = vec![0; 2 * limit + 3];
    let mut history = Vec::new();
    for count in 0..=limit {
        history.push(furthest[middle - count..=middle + count].to_vec());
        for step in 0..=count {
            let k = middle + 2 * step - count;
            let is_down = step == 0 || (step != count && furthest[k - 1] < furthest[k + 1]);
            let mut x: usize = if is_down { furthest[k + 1] } else { furthest[k - 1] + 1 };
            let y = |x: usize| x + middle - k;
            while x < old.len() && y(x) < new.len() && old[x] == new[y(x)] {
                x += 1;
            }
            furthest[k] = x;
            if x >= old.len() && y(x) >= new.len() {
                return Some(walk_back(&history, old.len(), new.len()));
            }
        }
    }
    None
}

/// The path that led to the end. `history[d]` has the diagonals from -d to d as they were before step d.
fn walk_back(history: &[Vec<usize>], old_len: usize, new_len: usize) -> Vec<Edit> {
    let (mut x, mut y) = (old_len, new_len);
    let mut edits = Vec::with_capacity(x + y);
    for (count, furthest) in history.iter().enumerate().rev() {
        if count == 0 {
            break;
        }
        // The place of diagonal x - y, which lies between -count and count.
        let k = x + count - y;
        let before = |at: usize| furthest.get(at).copied().unwrap_or_default();
        let is_down = k == 0 || (k != 2 * count && before(k - 1) < before(k + 1));
        let (from_x, from_y) = if is_down {
            let from_x = before(k + 1);
            (from_x, from_x + count - (k + 1))
        } else {
            let from_x = before(k - 1);
            (from_x, from_x + count - (k - 1))
        };
        let after_x = if is_down { from_x } else { from_x + 1 };
        edits.extend(std::iter::repeat_n(Edit::Keep, x - after_x));
        edits.push(if is_down { Edit::Add } else { Edit::Remove });
        (x, y) = (from_x, from_y);
    }
    edits.extend(std::iter::repeat_n(Edit::Keep, x));
    edits.reverse();
    edits
}

/// Ranges of edits that are shown together: changes with what is around them.
fn hunks(edits: &[Edit]) -> Vec<std::ops::Range<usize>> {
    let mut hunks: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in edits.iter().enumerate().filter(|(_, edit)| **edit != Edit::Keep) {
        let (start, end) = (at.saturating_sub(CONTEXT), (at + 1 + CONTEXT).min(edits.len()));
        match hunks.last_mut() {
            Some(last) if start <= last.end => last.end = end,
            _ => hunks.push(start..end),
        }
    }
    hunks
}

fn print(
    text: &mut String,
    edits: &[Edit],
    hunk: std::ops::Range<usize>,
    old: &[&str],
    new: &[&str],
) {
    let count = |edits: &[Edit], other: Edit| edits.iter().filter(|edit| **edit != other).count();
    let (before, inside) = (&edits[..hunk.start], &edits[hunk]);
    let (mut x, mut y) = (count(before, Edit::Add), count(before, Edit::Remove));
    let span = |start: usize, length: usize| match length {
        // An empty side is named by the line before it.
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        _ => format!("{},{length}", start + 1),
    };
    let old_span = span(x, count(inside, Edit::Add));
    let new_span = span(y, count(inside, Edit::Remove));
    let _ = writeln!(text, "@@ -{old_span} +{new_span} @@");
    for edit in inside {
        let (sign, line) = match edit {
            Edit::Keep => (' ', old[x]),
            Edit::Remove => ('-', old[x]),
            Edit::Add => ('+', new[y]),
        };
        x += usize::from(*edit != Edit::Add);
        y += usize::from(*edit != Edit::Remove);
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(old: &str, new: &str, expected: &str) {
        assert_eq!(unified("a", old, "b", new), expected);
    }

    #[test]
    fn changes_are_shown_with_three_lines_around_them() {
        check("x\n", "x\n", "");
        check(
            "1\n2\n3\n4\n5\n6\n7\n8\n9\n",
            "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
            "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
        );
    }

    #[test]
    fn changes_far_from_each_other_are_shown_apart() {
        let old: String = (1..=20).map(|n| format!("{n}\n")).collect();
        let new = old.replace("\n3\n", "\n").replace("\n18\n", "\n18\nmore\n");
        let expected = "--- a\n+++ b\n@@ -1,6 +1,5 @@\n 1\n 2\n-3\n 4\n 5\n 6\n\
            @@ -16,5 +15,6 @@\n 16\n 17\n 18\n+more\n 19\n 20\n";
        check(&old, &new, expected);
    }

    #[test]
    fn a_text_that_comes_goes_or_lacks_its_last_line_end_shows_it() {
        let none = "\\ No newline at end of file\n";
        check("", "x\n", "--- a\n+++ b\n@@ -0,0 +1 @@\n+x\n");
        check("x\n", "", "--- a\n+++ b\n@@ -1 +0,0 @@\n-x\n");
        check("10", "12", &format!("--- a\n+++ b\n@@ -1 +1 @@\n-10\n{none}+12\n{none}"));
    }

    #[test]
    fn texts_that_differ_too_much_are_replaced_whole() {
        let text = |sign: char| (0..3_000).map(|n| format!("{sign}{n}\n")).collect::<String>();
        let diff = unified("a", &text('x'), "b", &text('y'));
        assert_eq!(diff.lines().count(), 3 + 6_000);
    }

    proptest! {
        #[test]
        fn edits_make_the_new_text_of_the_old_one_and_there_are_no_fewer(
            old in proptest::collection::vec("[abc]", 0..12),
            new in proptest::collection::vec("[abc]", 0..12),
        ) {
            let (old, new): (Vec<&str>, Vec<&str>) =
                (old.iter().map(String::as_str).collect(), new.iter().map(String::as_str).collect());
            let edits = edits(&old, &new);
            let (mut x, mut made) = (0, Vec::new());
            let mut added = new.iter();
            for edit in &edits {
                match edit {
                    Edit::Keep => {
                        prop_assert_eq!(added.next(), Some(&old[x]));
                        made.push(old[x]);
                        x += 1;
                    }
                    Edit::Remove => x += 1,
                    Edit::Add => made.push(added.next().unwrap()),
                }
            }
            prop_assert_eq!(x, old.len());
            prop_assert_eq!(&made, &new);
            let kept = edits.iter().filter(|edit| **edit == Edit::Keep).count();
            prop_assert_eq!(kept, longest_common(&old, &new));
        }
    }

    /// Length of the longest common subsequence, the slow way.
    fn longest_common(old: &[&str], new: &[&str]) -> usize {
        let mut best = vec![0; new.len() + 1];
        for a in old {
            let mut corner = 0;
            for (at, b) in new.iter().enumerate() {
                let here = if a == b { corner + 1 } else { best[at].max(best[at + 1]) };
                corner = best[at + 1];
                best[at + 1] = here;
            }
        }
        best[new.len()]
    }
}
