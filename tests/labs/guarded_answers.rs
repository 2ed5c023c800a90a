//! What answers may say: plain and streamed, every choice and every field.

use std::time::Duration;

use labs::policies::guarded;
use labs::{Ask, Gateway, Host, Reply, lab};
use mock_provider::{Cut, How, Mock, Script};
use serde_json::{Value, json};

use crate::guarded_prompts::tour;

fn mock(script: Script) -> Mock {
    Mock::start("127.0.0.1:0".parse().unwrap(), script).unwrap()
}

fn gateway(host: Host, provider: &Mock, guard: &str) -> Gateway {
    Gateway::up(host, &guarded(provider.address(), guard))
}

/// The events of a stream as JSON, without `[DONE]`.
fn events(reply: &Reply) -> Vec<Value> {
    let text = reply.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| panic!("{data}"))).collect()
}

/// What a client puts together of a field of a choice.
fn text(reply: &Reply, choice: u64, field: &str) -> String {
    let all = events(reply);
    let choices = all.iter().flat_map(|event| event["choices"].as_array().cloned().unwrap_or_default());
    let own = choices.filter(|it| it["index"] == choice);
    own.filter_map(|it| it["delta"][field].as_str().map(str::to_owned)).collect()
}

const TWO: &str = r#"{"model":"open-mistral-nemo","messages":[{"role":"user","content":"Can you give me some examples of Mastercard numbers?"}]}"#;

lab!(the_tour_s_files_mask_the_numbers_of_cards, |host| {
    for (file, expected) in [
        (
            "prompt-guard-responses-mistralai-routeoption.yaml",
            "Here are some: 1.XXXXXXXXXXXXXXXXXXXXX2.XXXXXXXXXXXXXXXXXXXXX3. 2223003122003222",
        ),
        (
            "released/prompt-guard-responses-mistralai-routeoption.yaml",
            "Here are some: 1.<CUSTOM>2.<CUSTOM>3. 2223003122003222",
        ),
    ] {
        let provider = mock(Script::default());
        let (gateway, _files) = tour(host, &[file], &provider);
        let plain = gateway.send(&Ask::post("/mistralai", TWO));
        assert_eq!(plain.json()["choices"][0]["message"]["content"], expected, "{file}");
        assert!(plain.complete);
        let streamed =
            gateway.send(&Ask::post("/mistralai", TWO.replace("{\"model\"", "{\"stream\":true,\"model\"")));
        assert_eq!(text(&streamed, 0, "content"), expected, "{file}");
        assert!(streamed.complete && streamed.text().ends_with("data: [DONE]\n\n"));
        // And prompts are guarded as before.
        assert_eq!(
            gateway.send(&Ask::post("/mistralai", TWO.replace("numbers", "credit card numbers"))).status,
            403
        );
    }
});

const MASKING: &str = "response: {regex: {builtins: [CREDIT_CARD, EMAIL, PHONE_NUMBER], matches: [{pattern: '\\bplum\\b', name: plum}]}}";

lab!(however_a_provider_cuts_its_stream_the_client_reads_the_same, |host| {
    let provider = mock(Script::default());
    let gateway = gateway(host, &provider, MASKING);
    let said =
        "Write to jane@example.org or call (415) 555-2671; card 5105 1051 0510 5100, PLUM, plumb, füür 51";
    let expected =
        "Write to <EMAIL_ADDRESS> or call <PHONE_NUMBER>; card <CREDIT_CARD>, <CUSTOM>, plumb, füür 51";
    provider.play(Script { text: Some(said.into()), ..Script::default() });
    let plain = gateway.send(&Ask::chat("/openai"));
    assert_eq!(plain.json()["choices"][0]["message"]["content"], expected);
    assert!(plain.header("content-length").is_none_or(|it| it == plain.text().len().to_string()));
    for length in [1, 2, 3, 7, 1000] {
        let chars: Vec<char> = said.chars().collect();
        let chunks = chars.chunks(length).map(|it| it.iter().collect()).collect();
        provider.play(Script { chunks: Some(chunks), ..Script::default() });
        let reply = gateway.send(&Ask::chat_stream("/openai"));
        assert_eq!(text(&reply, 0, "content"), expected, "{length}");
        let all = events(&reply);
        assert_eq!(all[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(all.last().unwrap()["choices"][0]["finish_reason"], "stop");
        assert!(reply.text().ends_with("data: [DONE]\n\n"));
    }
    gateway.await_metric(
        r#"turnpike_guard_total{route="lab/openai",side="response",rule="plum",action="mask"} 6"#,
    );
    assert!(!gateway.log().contains("jane"), "no answer is ever logged");
});

/// Bytes of a stream of these events, cut at every so many bytes.
fn pieces(events: &[Value], length: usize) -> Script {
    let bytes: Vec<u8> =
        events.iter().flat_map(|event| format!("data: {event}\r\n\r\n").into_bytes()).collect();
    let bytes = [bytes, b": ping\r\n\r\ndata: [DONE]\r\n\r\n".to_vec()].concat();
    Script { stream: Some(bytes.chunks(length).map(<[u8]>::to_vec).collect()), ..Script::default() }
}

lab!(every_choice_and_every_field_of_a_stream_is_masked_on_its_own, |host| {
    let provider = mock(Script::default());
    let gateway = gateway(host, &provider, MASKING);
    let delta = |index: u64, delta: Value| json!({"id": "c", "choices": [{"index": index, "delta": delta, "finish_reason": null}]});
    let call = |arguments: &str| {
        delta(0, json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}))
    };
    let stream = [
        delta(0, json!({"role": "assistant", "content": ""})),
        delta(0, json!({"reasoning_content": "card 5105 1051"})),
        delta(1, json!({"content": "é plu"})),
        delta(0, json!({"reasoning_content": " 0510 5100."})),
        delta(1, json!({"content": "m"})),
        delta(0, json!({"content": "jane@exa"})),
        delta(0, json!({"refusal": "mple.org"})),
        delta(0, json!({"content": "mple.org"})),
        delta(
            0,
            json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "pay", "arguments": ""}}]}),
        ),
        call("{\"card\": \"5105"),
        call("105105105100\", \"n\": 51051051"),
        call("05105100}"),
        json!({"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
        json!({"id": "c", "choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}),
        json!({"id": "c", "choices": [], "usage": {"total_tokens": 3}}),
    ];
    for length in [3, 17, 100_000] {
        provider.play(pieces(&stream, length));
        let reply = gateway.send(&Ask::chat_stream("/openai"));
        assert_eq!(text(&reply, 0, "content"), "<EMAIL_ADDRESS>");
        assert_eq!(text(&reply, 0, "reasoning_content"), "card <CREDIT_CARD>.");
        assert_eq!(text(&reply, 0, "refusal"), "mple.org");
        assert_eq!(text(&reply, 1, "content"), "é <CUSTOM>");
        let all = events(&reply);
        let calls = all.iter().filter_map(|it| it["choices"][0]["delta"]["tool_calls"][0].as_object());
        let arguments: String = calls.filter_map(|it| it["function"]["arguments"].as_str()).collect();
        assert_eq!(arguments, r#"{"card": "<CREDIT_CARD>", "n": "<CREDIT_CARD>"}"#);
        assert_eq!(all.last().unwrap()["usage"]["total_tokens"], 3);
        assert!(reply.text().contains(": ping") && reply.text().contains("data: [DONE]"));
    }
});

lab!(the_responses_api_says_nothing_twice_that_was_masked_once, |host| {
    let provider = mock(Script { text: Some("Mail jane@example.org, plum.".into()), ..Script::default() });
    let gateway = gateway(host, &provider, MASKING);
    let ask = |stream: bool| {
        Ask::post("/openai/v1/responses", json!({"model": "m", "input": "a", "stream": stream}).to_string())
    };
    let expected = "Mail <EMAIL_ADDRESS>, <CUSTOM>.";
    assert_eq!(gateway.send(&ask(false)).json()["output"][0]["content"][0]["text"], expected);
    let streamed = gateway.send(&ask(true));
    let all = events(&streamed);
    let deltas = all.iter().filter(|it| it["type"] == "response.output_text.delta");
    assert_eq!(deltas.filter_map(|it| it["delta"].as_str()).collect::<String>(), expected);
    let last = all.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], expected);
    assert!(!streamed.text().contains("jane"));
});

lab!(errors_and_answers_that_are_no_json_are_masked_as_well, |host| {
    let provider = mock(Script {
        page: Some(r#"{"error":{"message":"no mail to jane@example.org"}}"#.into()),
        ..Script::default()
    });
    let gateway = gateway(host, &provider, MASKING);
    assert_eq!(gateway.send(&Ask::chat("/openai")).json()["error"]["message"], "no mail to <EMAIL_ADDRESS>");
    provider.play(Script { echo: true, ..Script::default() });
    let echoed = gateway.send(&Ask::post("/openai", r#"{"messages":[{"content":"plum"}]}"#)).text();
    assert!(echoed.ends_with(r#"{"messages":[{"content":"<CUSTOM>"}]}"#), "{echoed}");
    // Of whichever path.
    provider.play(Script { page: Some(r#"{"data":[{"content":"plum"}]}"#.into()), ..Script::default() });
    assert_eq!(
        gateway.send(&Ask::get("/openai/v1/responses/resp_1")).text(),
        r#"{"data":[{"content":"<CUSTOM>"}]}"#
    );
    let logprobs = json!({"choices": [{"logprobs": {"content": [{"token": "plum", "bytes": [112]}]}, "message": {"content": "plum"}}]});
    provider.play(Script { page: Some(logprobs.to_string()), ..Script::default() });
    let answer = gateway.send(&Ask::chat("/openai")).json();
    assert_eq!(answer["choices"][0], json!({"logprobs": null, "message": {"content": "<CUSTOM>"}}));
});

lab!(an_answer_that_cannot_be_looked_at_does_not_pass, |host| {
    let provider =
        mock(Script { headers: vec![("content-encoding".into(), "br".into())], ..Script::default() });
    let gateway = gateway(host, &provider, MASKING);
    let refused = gateway.send(&Ask::chat("/openai").header("accept-encoding", "br"));
    assert_eq!((refused.status, refused.code().as_str()), (502, "answer_unreadable"));
    assert_eq!(provider.requests()[0].header("accept-encoding"), None);
    let long = "word ".repeat(2 << 20);
    provider.play(Script { text: Some(long), ..Script::default() });
    let refused = gateway.send(&Ask::chat("/openai"));
    assert_eq!((refused.status, refused.code().as_str()), (502, "answer_unreadable"));
    let long = "word plum ".repeat(300_000);
    provider.play(Script { text: Some(long), ..Script::default() });
    let masked = gateway.send(&Ask::chat("/openai"));
    assert_eq!((masked.status, masked.complete), (200, true));
    assert_eq!(masked.text().matches("<CUSTOM>").count(), 300_000);
});

lab!(an_answer_can_be_refused_as_well, |host| {
    let provider =
        mock(Script { text: Some("Hello, the word is plum, and on.".into()), ..Script::default() });
    let guard = "response: {customResponse: {message: Not this., statusCode: 451}, regex: {action: REJECT, matches: [{pattern: '\\bplum\\b', name: plum}]}}";
    let gateway = gateway(host, &provider, guard);
    let refused = gateway.send(&Ask::chat("/openai"));
    assert_eq!(refused.said(), (451, "Not this.".to_owned()));
    assert_eq!(refused.code(), "answer_rejected");
    let streamed = gateway.send(&Ask::chat_stream("/openai"));
    assert!(streamed.complete, "a clean end");
    let all = streamed.text();
    assert!(!all.contains("plum") && !all.contains("[DONE]") && all.contains("word "), "{all}");
    let last = events(&streamed).pop().unwrap();
    assert_eq!(
        (&last["error"]["message"], &last["error"]["code"]),
        (&json!("Not this."), &json!("answer_rejected"))
    );
    gateway.await_metric(
        r#"turnpike_guard_total{route="lab/openai",side="response",rule="plum",action="reject"} 2"#,
    );
    gateway.await_metric(r#"turnpike_requests_total{route="lab/openai",reason="answer_rejected"} 2"#);
});

lab!(what_cannot_begin_a_match_is_not_delayed, |host| {
    let chunks = Some(["One ", "two ", "three ", "four "].map(str::to_owned).to_vec());
    let provider = mock(Script { chunks, chunk_delay: Duration::from_millis(100), ..Script::default() });
    let gateway = gateway(host, &provider, MASKING);
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    let (first, last) = (reply.pieces[0].0, reply.pieces.last().unwrap().0);
    assert!(last - first > Duration::from_millis(300), "{first:?} to {last:?}");
    let direct = Ask::chat_stream("/v1/chat/completions").send(provider.address());
    let contents = |reply: &Reply| -> Vec<Value> {
        events(reply).into_iter().map(|it| it["choices"][0]["delta"]["content"].clone()).collect()
    };
    assert_eq!(contents(&reply), contents(&direct), "each word in its own event");
});

lab!(a_stream_that_is_cut_still_gives_what_was_held, |host| {
    let chunks = Some(["Mail ", "jane@exa", "mple.org"].map(str::to_owned).to_vec());
    let provider = mock(Script { chunks, cut: Some(Cut { after: 4, how: How::End }), ..Script::default() });
    let gateway = gateway(host, &provider, MASKING);
    let reply = gateway.send(&Ask::chat_stream("/openai"));
    assert_eq!(text(&reply, 0, "content"), "Mail <EMAIL_ADDRESS>");
    assert_eq!(events(&reply).pop().unwrap()["error"]["code"], "stream_cut");
});
