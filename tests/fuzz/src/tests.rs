use std::fs;
use std::path::Path;

/// So many changes of each seed.
const CHANGES: usize = 2000;

/// The seeds of a target.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Numbers without a pattern, the same in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }
}

/// A seed with a few bytes changed, left out, doubled or put in.
fn changed(seed: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    const LIKELY: &[u8] = b"{}[]\",:.\\=-_+/ \n0129aAeZ\0\xff";
    let mut bytes = seed.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        let byte = LIKELY[numbers.below(LIKELY.len())];
        match numbers.below(4) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => {
                let end = (at + numbers.below(32)).min(bytes.len());
                let piece = bytes[at.min(end)..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

fn run(target: &str, function: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for seed in &seeds {
        function(seed);
        for _ in 0..CHANGES {
            function(&changed(seed, &mut numbers));
        }
    }
}

#[test]
fn a_token_that_is_taken_has_one_form_and_says_one_thing() {
    run("token", super::token);
}

#[test]
fn keys_that_are_taken_are_public() {
    run("keys", super::keys);
}

#[test]
fn no_signature_is_good_but_those_that_were_made() {
    run("verify", super::verify);
    for token in super::SIGNED.lines() {
        super::verify(token.as_bytes());
    }
}

#[test]
fn however_a_text_is_cut_what_is_masked_is_what_is_found_in_the_whole() {
    run("masker", super::masker);
}

#[test]
fn however_a_stream_is_cut_a_client_puts_the_same_texts_together() {
    run("answers", super::answers);
}
