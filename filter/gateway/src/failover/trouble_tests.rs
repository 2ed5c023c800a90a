use std::time::Duration;

use policy::failover::Cooldown;

use super::{Lesson, Trouble, retry_after};
use crate::headers::Headers;
use crate::testing::test;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const COOLDOWN: Cooldown =
    Cooldown { failures: 2, time: Duration::from_secs(30), max_retry_after: Duration::from_secs(60) };

fn failed(wait: Option<u64>) -> Lesson {
    Lesson::Failed { now: NOW, wait: wait.map(Duration::from_secs) }
}

/// For how many seconds a model is left alone after these lessons.
fn cools(lessons: &[Lesson]) -> u64 {
    let trouble = lessons.iter().fold(Trouble::default(), |trouble, lesson| trouble.after(*lesson));
    assert_eq!(Trouble::read(&trouble.bytes()).unwrap_or_default(), trouble);
    trouble.cools_until(&COOLDOWN).saturating_sub(NOW).as_secs()
}

#[test]
fn so_many_failures_in_a_row_cool_a_model_down() {
    assert_eq!(cools(&[failed(None)]), 0);
    assert_eq!(cools(&[failed(None), failed(None)]), 30);
    assert_eq!(cools(&[failed(None), Lesson::Worked, failed(None)]), 0);
}

#[test]
fn a_model_is_left_alone_for_as_long_as_it_asks_but_not_for_ever() {
    assert_eq!(cools(&[failed(Some(7))]), 7);
    assert_eq!(cools(&[failed(Some(3600))]), 60);
    assert_eq!(cools(&[failed(Some(40)), failed(None)]), 40);
    assert_eq!(cools(&[failed(Some(40)), Lesson::Worked]), 0);
}

#[test]
fn what_is_no_record_is_nothing() {
    assert_eq!(Trouble::read(b""), None);
    assert_eq!(Trouble::read(&[1; 19]), None);
    assert_eq!(Trouble::read(&[1; 21]), None);
}

#[test]
fn a_wait_is_written_in_seconds_in_milliseconds_or_as_a_date() {
    let wait = |name: &str, value: &str| {
        retry_after(&Headers::new(vec![(name, value.as_bytes())]), NOW).map(|it| it.as_millis())
    };
    assert_eq!(wait("retry-after", "7"), Some(7000));
    assert_eq!(wait("retry-after-ms", "1500"), Some(1500));
    assert_eq!(wait("retry-after", "Fri, 15 Jan 2027 08:00:30 GMT"), Some(30_000));
    assert_eq!(wait("retry-after", "Fri, 15 Jan 1999 08:00:30 GMT"), Some(0));
    for nonsense in ["soon", "-1", "", "99999999999999999999999"] {
        assert_eq!(wait("retry-after", nonsense), None, "{nonsense}");
    }
    for nonsense in ["NaN", "-5", "inf"] {
        assert_eq!(wait("retry-after-ms", nonsense), None, "{nonsense}");
    }
}
