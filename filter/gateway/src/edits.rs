//! Surgery on a body: ranges are replaced, everything else keeps its bytes.

use std::ops::Range;

/// Replacements of byte ranges. They must not overlap; the order of calls does not matter.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Edits {
    list: Vec<(Range<usize>, Vec<u8>)>,
}

impl Edits {
    /// Puts `bytes` where `range` was; an empty range inserts.
    pub fn replace(&mut self, range: Range<usize>, bytes: impl Into<Vec<u8>>) {
        // What is inserted where something else is replaced goes before it.
        let place = (range.start, range.end);
        let at = self.list.partition_point(|(other, _)| (other.start, other.end) <= place);
        self.list.insert(at, (range, bytes.into()));
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How much of the body, from its beginning, has to be written anew. The rest stays where it is.
    pub fn reach(&self) -> usize {
        self.list.last().map_or(0, |(range, _)| range.end)
    }

    /// By how many bytes the body grows; negative if it shrinks.
    pub fn growth(&self) -> isize {
        let grown = |(range, bytes): &(Range<usize>, Vec<u8>)| bytes.len() as isize - range.len() as isize;
        self.list.iter().map(grown).sum()
    }

    /// The whole body after the edits.
    pub fn applied(&self, body: &[u8]) -> Vec<u8> {
        let mut out = self.rewrite(body);
        out.extend_from_slice(body.get(self.reach()..).unwrap_or_default());
        out
    }

    /// What replaces the first [`reach`](Edits::reach) bytes of the body. `head` is these bytes, or more.
    pub fn rewrite(&self, head: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.reach().saturating_add_signed(self.growth()));
        let mut from = 0;
        for (range, bytes) in &self.list {
            out.extend_from_slice(head.get(from..range.start).unwrap_or_default());
            out.extend_from_slice(bytes);
            from = range.end;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Edits;
    use crate::testing::test;

    #[test]
    fn only_what_lies_before_the_last_edit_is_written_anew() {
        let mut edits = Edits::default();
        edits.replace(8..9, "3");
        edits.replace(1..2, "22");
        edits.replace(1..1, "<");
        assert_eq!(edits.reach(), 9);
        assert_eq!(edits.growth(), 2);
        assert_eq!(edits.rewrite(b"[1,2,3,4,5]"), b"[<22,2,3,43");
    }
}
