//! How a fuzzer says where something is cut.

/// A line, and what is below it.
pub fn head(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (&[], data),
    }
}

/// The pieces of a text of so many characters each, counted by the low bits of bytes, over and over. Some are empty.
pub fn text<'t>(text: &'t str, lengths: &[u8]) -> Vec<&'t str> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    let mut lengths = lengths.iter().chain(&[1]).cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |byte| usize::from(byte % 16));
        let at = rest.char_indices().nth(length).map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The pieces of bytes of so many each, over and over.
pub fn bytes<'b>(bytes: &'b [u8], lengths: &[u8]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    let mut lengths = lengths.iter().chain(b"\xff").cycle();
    while !rest.is_empty() {
        let length = lengths.next().map_or(1, |byte| usize::from(*byte));
        let (piece, after) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
