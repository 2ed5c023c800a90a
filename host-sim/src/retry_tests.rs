use std::time::Duration;

use super::{Kept, Tries};
use crate::chain::Frame;
use crate::config::{NoAnswer, Retry};
use crate::headers::HeaderMap;
use crate::stage::Event;
use crate::traffic::{Failure, host_reply};

fn retry(no_answer: NoAnswer) -> Retry {
    Retry {
        statuses: vec![429],
        server_errors: true,
        no_answer,
        attempts: 3,
        per_try_timeout: None,
        back_off: (Duration::from_millis(10), Duration::from_millis(50)),
    }
}

fn clusters(tries: Option<Tries>) -> Vec<String> {
    let cluster = |attempt| tries.as_ref().and_then(|tries| tries.cluster(attempt).map(str::to_owned));
    (0..9).map_while(cluster).collect()
}

#[test]
fn each_attempt_goes_to_the_next_cluster_that_is_named() {
    let named = |names| clusters(Tries::named(&retry(NoAnswer::Any), names));
    assert_eq!(named("a, b"), ["a", "b"]);
    assert_eq!(named("a,b,c,d"), ["a", "b", "c"], "no more than the route allows");
    assert!(Tries::named(&retry(NoAnswer::Any), " , ").is_none());
}

#[test]
fn without_names_all_attempts_go_to_the_route_s_own_cluster() {
    assert_eq!(clusters(Some(Tries::same(&retry(NoAnswer::Any), "own"))), ["own", "own", "own"]);
}

#[test]
fn an_answer_is_tried_again_for_its_status() {
    let tries = Tries::same(&retry(NoAnswer::Never), "own");
    let takes = |status: &str| {
        let headers = [(":status", status)].into_iter().collect();
        tries.takes(&Event::Frame(Frame::Headers(headers, true)))
    };
    assert!(takes("429") && takes("500") && takes("529"));
    assert!(!takes("200") && !takes("400") && !takes("499"));
}

#[test]
fn a_failure_is_tried_again_if_it_is_one_of_those() {
    let taken = |no_answer| {
        let tries = Tries::same(&retry(no_answer), "own");
        [Failure::Connect, Failure::Reset, Failure::Late].map(|failure| tries.takes(&Event::Failed(failure)))
    };
    assert_eq!(taken(NoAnswer::Never), [false, false, false]);
    assert_eq!(taken(NoAnswer::Connect), [true, false, false]);
    assert_eq!(taken(NoAnswer::Any), [true, true, true]);
}

#[test]
fn what_a_filter_or_the_host_has_answered_is_not_tried_again() {
    let tries = Tries::same(&retry(NoAnswer::Any), "own");
    assert!(!tries.takes(&Event::Reply(host_reply(503, "", "no_healthy_upstream"))));
}

#[test]
fn waits_become_longer_up_to_their_bound() {
    let tries = Tries::same(&retry(NoAnswer::Any), "own");
    let longest = [1, 2, 3, 40].map(|retry| tries.wait(retry, u32::MAX).as_millis());
    assert_eq!(longest, [9, 29, 49, 49]);
    assert_eq!(tries.wait(3, 0), Duration::ZERO);
}

fn kept(limit: usize) -> Kept {
    let headers = HeaderMap::default();
    Kept { headers, body: Vec::new(), trailers: None, ended: false, last: false, limit }
}

#[test]
fn another_attempt_has_the_body_in_one_piece() {
    let mut kept = kept(100);
    kept.keep(&Frame::Data("ab".into(), false));
    kept.keep(&Frame::Data("c".into(), true));
    let frames: Vec<Frame> = kept.frames().into();
    assert_eq!(frames, [Frame::Headers(HeaderMap::default(), false), Frame::Data("abc".into(), true)]);
}

#[test]
fn another_attempt_has_the_trailers_too() {
    let mut kept = kept(100);
    kept.keep(&Frame::Data("ab".into(), false));
    kept.keep(&Frame::Trailers(HeaderMap::default()));
    let frames: Vec<Frame> = kept.frames().into();
    assert_eq!(frames[1..], [Frame::Data("ab".into(), false), Frame::Trailers(HeaderMap::default())]);
}

#[test]
fn a_body_that_is_too_long_to_keep_makes_the_attempt_the_last() {
    let mut kept = kept(2);
    kept.keep(&Frame::Data("ab".into(), false));
    assert!(!kept.last);
    kept.keep(&Frame::Data("c".into(), false));
    assert!(kept.last && kept.body.is_empty());
}
