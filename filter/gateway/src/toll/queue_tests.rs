use super::*;
use crate::headers::Headers;
use crate::testing::test;

const SECOND: Duration = Duration::from_secs(1);

fn sidecar() -> Sidecar {
    Sidecar { cluster: "s".into(), host: "h".into(), timeout: SECOND }
}

fn item(reservation: &str) -> Item {
    Item { reservation: reservation.into(), used: vec![1] }
}

fn heard(queue: &mut Settlements, status: u16, body: &str, now: Duration) -> Option<String> {
    let headers = Headers::new(vec![(OURS, b"1")]);
    queue.heard(Some(Said { status, headers: &headers, body: body.as_bytes() }), now)
}

fn body(call: Option<CallOut>) -> String {
    String::from_utf8(call.unwrap().body).unwrap()
}

fn question(body: &str) -> CallOut {
    call(&sidecar(), sidecar_api::ADMIT, body.into(), None)
}

#[test]
fn what_waits_goes_out_in_one_call_and_only_once() {
    let mut queue = Settlements::default();
    assert!(queue.next(&sidecar(), SECOND).is_none());
    queue.push(item("a"));
    queue.push(item("b"));
    let sent = body(queue.next(&sidecar(), SECOND));
    assert_eq!(sent, r#"{"items":[{"reservation":"a","used":[1]},{"reservation":"b","used":[1]}]}"#);
    queue.push(item("c"));
    assert!(queue.next(&sidecar(), SECOND).is_none(), "one call at a time");
    assert_eq!(heard(&mut queue, 200, r#"{"settled":2,"known":0,"refused":0}"#, SECOND), None);
    assert!(body(queue.next(&sidecar(), SECOND)).contains("\"c\""));
    let said = heard(&mut queue, 200, r#"{"settled":0,"known":0,"refused":1}"#, SECOND);
    assert_eq!(said.unwrap(), "1 settlements of budgets have not been taken");
}

#[test]
fn what_was_not_understood_is_told_again_after_a_while_and_in_its_order() {
    let mut queue = Settlements::default();
    queue.push(item("a"));
    queue.next(&sidecar(), SECOND).unwrap();
    queue.push(item("b"));
    assert!(queue.heard(None, SECOND).unwrap().contains("told again"));
    assert!(queue.next(&sidecar(), SECOND).is_none());
    let sent = body(queue.next(&sidecar(), SECOND * 2));
    assert!(sent.find("\"a\"") < sent.find("\"b\""), "{sent}");
    assert!(heard(&mut queue, 503, "", SECOND * 2).unwrap().contains("told again"));
    queue.next(&sidecar(), SECOND * 4).unwrap();
    assert!(heard(&mut queue, 400, "", SECOND * 4).unwrap().contains("refuses 2"));
    assert!(queue.next(&sidecar(), SECOND * 9).is_none());
}

#[test]
fn what_nobody_answers_is_told_again() {
    let mut queue = Settlements::default();
    queue.push(item("a"));
    queue.next(&sidecar(), SECOND).unwrap();
    assert!(queue.next(&sidecar(), SECOND * 2).is_none());
    assert!(queue.next(&sidecar(), SECOND * 4).is_none(), "and rests for a second");
    assert!(queue.next(&sidecar(), SECOND * 5).is_some());
}

#[test]
fn what_a_lost_answer_has_reserved_is_given_back() {
    let mut queue = Settlements::default();
    queue.reclaim(question("q"));
    assert_eq!(body(queue.next(&sidecar(), SECOND)), "q");
    let state = r#"{"name":"n","max":9,"remaining":1,"resetSeconds":5,"exceeded":false}"#;
    let admitted = format!(r#"{{"allowed":true,"reservation":"r","limits":[{state},{state}]}}"#);
    assert_eq!(heard(&mut queue, 200, &admitted, SECOND), None);
    let sent = body(queue.next(&sidecar(), SECOND));
    assert_eq!(sent, r#"{"items":[{"reservation":"r","used":[0,0]}]}"#);
    heard(&mut queue, 200, r#"{"settled":1,"known":0,"refused":0}"#, SECOND);
    queue.reclaim(question("denied"));
    queue.next(&sidecar(), SECOND).unwrap();
    heard(&mut queue, 200, r#"{"allowed":false,"limits":[]}"#, SECOND);
    assert!(queue.next(&sidecar(), SECOND).is_none());
}

#[test]
fn a_question_is_asked_five_times_and_there_is_room_for_so_many() {
    let mut queue = Settlements::default();
    queue.reclaim(question("q"));
    for at in 1..=5 {
        assert_eq!(body(queue.next(&sidecar(), SECOND * at * 2)), "q");
        queue.heard(None, SECOND * at * 2);
    }
    assert!(queue.next(&sidecar(), SECOND * 99).is_none());
    queue.reclaim(question(&"x".repeat(MOST_BYTES)));
    queue.reclaim(question("y"));
    assert_eq!(queue.questions.len(), 1);
    let mut queue = Settlements::default();
    (0..=MOST_QUESTIONS).for_each(|_| queue.reclaim(question("q")));
    assert_eq!(queue.questions.len(), MOST_QUESTIONS);
}

#[test]
fn there_is_an_end_to_waiting() {
    let mut queue = Settlements::default();
    for _ in 0..=MOST {
        queue.push(item("a"));
    }
    assert_eq!(queue.items.len(), MOST);
    queue.next(&sidecar(), SECOND).unwrap();
    let said = heard(&mut queue, 200, r#"{"settled":500,"known":0,"refused":0}"#, SECOND);
    assert_eq!(said.unwrap(), "1 settlements of budgets have not been taken");
}
