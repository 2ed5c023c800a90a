use super::{Ending, Passage, Stream, end_of_last_event};
use crate::testing::test;

const ERROR: &str = "data: {\"error\":{\"message\":\"the provider ended the stream before its end\",\"type\":\"server_error\",\"param\":null,\"code\":\"stream_cut\"}}\n\n";

/// What a client receives of a stream that comes in these pieces, and whether it was cut.
fn relay(ending: Ending, pieces: &[&[u8]]) -> (String, bool) {
    let mut stream = Stream::new(ending);
    let mut out = Vec::new();
    for piece in pieces {
        match stream.push(piece) {
            Passage::AsItIs => out.extend_from_slice(piece),
            Passage::Instead(bytes) => out.extend_from_slice(&bytes),
        }
    }
    let (rest, cut) = stream.finish();
    out.extend_from_slice(&rest);
    (String::from_utf8(out).unwrap(), cut)
}

#[test]
fn whole_events_go_on_without_a_copy() {
    let mut stream = Stream::new(Ending::Done);
    assert_eq!(stream.push(b"data: 1\n\ndata: 2\n\n"), Passage::AsItIs);
    assert_eq!(stream.push(b""), Passage::AsItIs);
    assert_eq!(stream.push(b"data: 3\n\ndata"), Passage::Instead(b"data: 3\n\n".to_vec()));
    assert_eq!(stream.push(b": 4\n\n"), Passage::Instead(b"data: 4\n\n".to_vec()));
}

#[test]
fn a_complete_stream_arrives_byte_for_byte_however_it_is_cut() {
    for end in ["\n", "\r\n", "\r"] {
        let text =
            format!(": ping{end}{end}data: a{end}id: 1{end}{end}data:b{end}{end}data: [DONE]{end}{end}");
        for at in 0..=text.len() {
            for to in at..=text.len() {
                let bytes = text.as_bytes();
                let got = relay(Ending::Done, &[&bytes[..at], &bytes[at..to], &bytes[to..]]);
                assert_eq!(got, (text.clone(), false), "{at} {to}");
            }
        }
    }
}

#[test]
fn a_stream_that_breaks_off_ends_with_an_error_event_and_no_half_event() {
    let (out, cut) = relay(Ending::Done, &[b"data: 1\n\ndata: {\"id\":"]);
    assert_eq!(out, format!("data: 1\n\n{ERROR}"));
    assert!(cut);
    assert_eq!(relay(Ending::Done, &[]), (ERROR.to_owned(), true));
}

#[test]
fn a_done_without_its_blank_line_is_a_done() {
    for end in ["data: [DONE]", "data:[DONE]\n"] {
        assert_eq!(
            relay(Ending::Done, &[b"data: 1\n\n", end.as_bytes()]),
            (format!("data: 1\n\n{end}"), false)
        );
    }
}

#[test]
fn text_that_speaks_of_done_is_no_done() {
    let text = "data: {\"content\":\"data: [DONE]\"}\n\n";
    assert_eq!(relay(Ending::Done, &[text.as_bytes()]), (format!("{text}{ERROR}"), true));
}

#[test]
fn each_api_ends_and_fails_in_its_own_way() {
    let complete = "event: response.completed\ndata: {}\n\n";
    assert_eq!(relay(Ending::ResponseEvent, &[complete.as_bytes()]), (complete.to_owned(), false));
    let (out, cut) = relay(Ending::ResponseEvent, &[b"event: response.created\ndata: {}\n\n"]);
    assert!(out.ends_with("\n\nevent: error\ndata: {\"type\":\"error\",\"code\":\"stream_cut\",\"message\":\"the provider ended the stream before its end\",\"param\":null}\n\n"), "{out}");
    assert!(cut);
    assert_eq!(relay(Ending::Unknown, &[b"data: 1"]), ("data: 1".to_owned(), false));
}

#[test]
fn an_endless_event_is_not_held_for_ever() {
    let mut stream = Stream::new(Ending::Done);
    let piece = vec![b'a'; 600 * 1024];
    assert_eq!(stream.push(&piece), Passage::Instead(Vec::new()));
    assert!(matches!(stream.push(&piece), Passage::Instead(out) if out.len() == 1200 * 1024));
}

#[test]
fn an_event_ends_with_a_blank_line() {
    for (bytes, end) in [
        ("", 0),
        ("data: 1", 0),
        ("data: 1\n", 0),
        ("data: 1\n\n", 9),
        ("data: 1\n\nda", 9),
        ("data: 1\r\n\r\nda", 11),
        ("data: 1\r\rda", 9),
        ("data: 1\n\r\nda", 10),
        ("a\n\nb\n\nc\nd", 6),
        ("\n", 1),
    ] {
        assert_eq!(end_of_last_event(bytes.as_bytes(), 0), end, "{bytes:?}");
    }
}
