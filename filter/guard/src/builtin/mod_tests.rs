use super::testing::{LOOK_ALIKES, found, passes};
use super::{Builtin, goes_on};
use crate::testing::test;

const PROSE: &str = "On 3 March 2019, at half past ten (10:30), the 42nd meeting began with 1,250 people in room 4-11.
The budget of $1,234,567.89 was 12.5% higher than in 2018; pages 100-120 of ISBN 978-3-16-148410-0 say why.
Between 1990 and 2024 the town grew from 48 000 to 1 150 000 people, by 2.7 per cent a year. See section 3.2.1, or §4.
Write to us @example, or follow @somebody. The class of 2001-2002 met in 123 Main Street, 10115 Berlin, as did that of
1970-1971. The train leaves at 07:45 from platform 12, and arrives at 11:05. What follows is 3/4 of it: 1 2 3 4 5 6 7 8.
Order 100-2000-30 came on 2024-11-25, weighed 3.750 kg and measured 20 x 30 x 40 cm. It is in Boston, MA 02110-1301.";

const SOURCE: &str = r##"
#include <vector>
namespace a::b { template <class T> using list = std::vector<T>; }
@Override public static final long serialVersionUID = 4876512093847561029L;
let id = Uuid::parse_str("67e55044-10b1-426f-9247-bb680e5fe0c8")?; // v4
const PI: f64 = 3.14159265358979323846; let mask = 0xdead_beef_u32; let x = a[::2]; y = b[1::10]
if (x >= 10 && y <= 20) { return this.items.filter(i => i.id === 1234567890123); }
import numpy as np; c = a @ b; d = x[1:2, ::3]; e = 1e-9; f = .5; date = "2024-11-25T10:30:45.123Z"
commit 9fceb02d0ae598e95dc970b74767f19372d61af8 (tag: v1.2.3, origin/main)
<img src="icon@2x.png" style="margin:0 0 10px 20px; color:#112233" class="sk-cube-grid sk-circle-fade-animation-dots">
go get example.com/pkg@v1.2.3-0.20191109021931-daa7c04131f5  // h1:bF6yAnH9fL2vD7h0WqV0Zt2S1zFqf3m6dGz6o3mJ0hA=
[dependencies] serde = "1.0.210"  regex = { version = "=1.11.1" }  foo==1.2.3.4
static TABLE: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]; // 16
curl -H "Accept: */*" http://localhost:8080/v1/items?limit=100&offset=2000
"##;

const LOG: &str = r#"{"ts":1732530645.123456,"time":"2024-11-25T10:30:45.123456Z","level":"info","pid":48213,
"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","duration_ns":4123456789,
"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","bytes":5105105105105,"ratio":0.41111111111,
"listen":"127.0.0.1:8080","any":"0.0.0.0","any6":"[::]:80","netmask":"255.255.255.0","order":"1000-2000-3000",
"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
"etag":"W/\"33a64df551425fcc55e4d42a148795d9f25f89d4\"","request":"req_7f3c9b2a1d"}"#;

const TABLE: &str = "id,name,lat,lon,count,ean,date,amount
1,Alpha,48.8566140,2.3522219,4111,4006381333931,2024-11-25,1234.50
2,Beta,-33.8688197,151.2092955,5105,5901234123457,2024-11-26,99.00
3,Gamma,40.7127753,-74.0059728,6011,9780306406157,2024-11-27,100000000
4,Delta,51.5073509,-0.1277583,3782,8711253001202,2024-11-28,0.000123456789
100200300,200300400,300400500,400500600,500600700,600700800,700800900,800900100";

#[test]
fn nothing_is_found_in_prose_source_code_logs_and_tables() {
    for builtin in Builtin::ALL {
        for text in [PROSE, SOURCE, LOG, TABLE] {
            assert_eq!(found(builtin, text), [""; 0], "{}", builtin.name());
        }
    }
}

#[test]
fn nothing_is_found_in_what_only_looks_like_it() {
    for builtin in Builtin::ALL {
        passes(builtin, LOOK_ALIKES);
    }
}

#[test]
fn every_pattern_has_a_longest_match_that_a_stream_can_wait_for() {
    for builtin in Builtin::ALL {
        for (number, candidate) in builtin.candidates().iter().enumerate() {
            let pattern = regex_syntax::parse(candidate.pattern).unwrap();
            let longest = pattern.properties().maximum_len();
            assert!(
                longest.is_some_and(|longest| longest <= 320),
                "{} {number}: {longest:?}",
                builtin.name()
            );
            assert!(pattern.properties().minimum_len() > Some(0), "{} {number}", builtin.name());
        }
    }
}

#[test]
fn a_number_ends_before_punctuation_and_not_before_more_of_it() {
    for rest in ["", " 1", ".", ". 1", ",1", "-", "- 1", ")", "号", "/1", ":1", "\n1"] {
        assert!(!goes_on(rest), "{rest:?}");
    }
    for rest in ["1", "a", "_", ".5", "-1", "-a"] {
        assert!(goes_on(rest), "{rest:?}");
    }
}
