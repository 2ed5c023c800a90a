use super::{of_stream, told_anew};
use crate::testing::test;

const STREAM: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\"}},{\"index\":1,\"delta\":{\"content\":\"x\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\",\"reasoning\":\"r\"}}]}\n\ndata: [DONE]\n\n";

#[test]
fn a_stream_is_told_as_its_texts() {
    let texts: Vec<String> = of_stream(STREAM).into_iter().map(|it| it.text).collect();
    assert_eq!(texts, ["Hello", "x"]);
}

#[test]
fn other_texts_stand_where_the_old_ones_began() {
    let anew = told_anew(STREAM, &of_stream(STREAM), &["B\"ye".into(), "x".into()]);
    assert_eq!(anew, STREAM.replace("Hel", "B\\\"ye").replace("\"lo\"", "\"\""));
    assert_eq!(told_anew(STREAM, &of_stream(STREAM), &["Hello".into(), "x".into()]), STREAM);
}

#[test]
fn what_is_said_again_as_a_whole_is_told_anew_as_well() {
    let stream = "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"He\"}\n\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"y\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"Hey\"}]}]}}\n\n";
    let anew = told_anew(stream, &of_stream(stream), &["Bye".into()]);
    assert_eq!(anew, stream.replace("\"He\"", "\"Bye\"").replace("\"y\"", "\"\"").replace("Hey", "Bye"));
}
