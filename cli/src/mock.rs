//! `turnpike mock`: a provider that answers by script. It prints every request it gets, one JSON object a line.

use std::time::SystemTime;

use mock_provider::{Cut, How, Mock, Recorded, Script};
use serde_json::json;

use crate::{Failure, args, terminal, up};

/// Runs a mock provider until it is told to stop.
///
/// # Errors
/// It cannot listen.
pub fn mock(args: &args::Mock) -> Result<(), Failure> {
    let script = script(args)?;
    up::block_on(async {
        let mut stop = up::Stop::listen()?;
        let mock = Mock::start_told(args.listen, script, print)?;
        terminal::tell(&format!("a mock provider is listening on http://{}", mock.address()));
        stop.asked().await;
        Ok(())
    })?
}

fn script(args: &args::Mock) -> Result<Script, Failure> {
    let header = |line: &String| {
        let (name, value) =
            line.split_once(':').ok_or_else(|| format!("`{line}` is no header, expected `name: value`"))?;
        Ok::<_, Failure>((name.trim().to_owned(), value.trim().to_owned()))
    };
    let how = match args.cut {
        args::Cut::End => How::End,
        args::Cut::HalfEvent => How::HalfEvent,
        args::Cut::Close => How::Close,
    };
    Ok(Script {
        status: args.status,
        times: args.times,
        hang_up: args.hang_up,
        headers: args.headers.iter().map(header).collect::<Result<_, _>>()?,
        text: args.text.clone(),
        page: None,
        echo: args.echo,
        delay: args.delay,
        chunk_delay: args.chunk_delay,
        chunks: None,
        stream: None,
        cut: args.cut_after.map(|after| Cut { after, how }),
        content_type: args.content_type.clone(),
    })
}

fn print(request: &Recorded) {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let body = String::from_utf8_lossy(&request.body);
    let line = json!({
        "time": time, "level": "INFO", "msg": "Request received",
        "method": request.method, "path": request.path, "body": body,
    });
    terminal::tell(&line.to_string());
}
