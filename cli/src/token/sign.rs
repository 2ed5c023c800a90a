//! `turnpike token sign`: the claims of the tour's tokens, and any others.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::read_key;
use crate::Failure;
use crate::args::Sign;

/// Signs a token and prints it.
pub fn sign(args: &Sign) -> Result<(), Failure> {
    let (key, claims) = match args.positional.as_slice() {
        [key, sub, team, llm, model] => {
            let args = Sign {
                sub: Some(sub.clone()),
                team: Some(team.clone()),
                llm: Some(llm.clone()),
                model: vec![model.clone()],
                ..args.clone()
            };
            (Path::new(key).to_path_buf(), claims(&args)?)
        }
        _ => (args.key.clone().unwrap_or_default(), claims(args)?),
    };
    let key = read_key(&key)?;
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT"});
    if let (Some(kid), Some(members)) = (&args.kid, header.as_object_mut()) {
        members.insert("kid".into(), kid.as_str().into());
    }
    println!("{}", key.token(&header.to_string(), &Value::Object(claims).to_string()));
    Ok(())
}

fn claims(args: &Sign) -> Result<Map<String, Value>, Failure> {
    let mut claims = Map::new();
    claims.insert("iss".into(), args.iss.as_str().into());
    claims.insert("org".into(), args.iss.as_str().into());
    for (name, value) in [("sub", &args.sub), ("team", &args.team)] {
        claims.extend(value.iter().map(|it| (name.to_owned(), it.as_str().into())));
    }
    if let Some(llm) = &args.llm {
        claims.insert("llms".into(), json!({ llm: args.model }));
    }
    match args.aud.as_slice() {
        [] => {}
        [one] => drop(claims.insert("aud".into(), one.as_str().into())),
        several => drop(claims.insert("aud".into(), several.into())),
    }
    if let Some(expires) = args.expires {
        let now = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?.as_secs();
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), now.saturating_add(expires.as_secs()).into());
    }
    for claim in &args.claims {
        let (name, json) = claim.split_once('=').ok_or_else(|| {
            format!("--claim {claim}: expected NAME=JSON, such as `admin=true` or `role=\"ops\"`")
        })?;
        let value = serde_json::from_str(json).map_err(|_| {
            format!("--claim {name}: `{json}` is no JSON; a text stands in quotes: '{name}=\"{json}\"'")
        })?;
        claims.insert(name.to_owned(), value);
    }
    Ok(claims)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::claims;
    use crate::args::{Args, Command, Token};

    fn claims_of(line: &str) -> Result<Value, String> {
        let args = Args::try_parse_from(format!("turnpike token sign {line}").split(' ')).unwrap();
        let Command::Token(Token::Sign(sign)) = args.command else { panic!("not sign") };
        claims(&sign).map(Value::Object)
    }

    #[test]
    fn the_usual_claims_are_those_of_the_tour() {
        assert_eq!(
            claims_of("--key k --sub alice --team dev --llm openai --model gpt-4o-mini").unwrap(),
            json!({"iss": "solo.io", "llms": {"openai": ["gpt-4o-mini"]}, "org": "solo.io", "sub": "alice", "team": "dev"})
        );
    }

    #[test]
    fn any_claim_can_be_set() {
        assert_eq!(
            claims_of(r#"--key k --iss me --aud a --aud b --claim admin=true --claim iss="you""#).unwrap(),
            json!({"admin": true, "aud": ["a", "b"], "iss": "you", "org": "me"})
        );
        let error = claims_of("--key k --claim role=ops").unwrap_err();
        assert_eq!(error, r#"--claim role: `ops` is no JSON; a text stands in quotes: 'role="ops"'"#);
        assert!(claims_of("--key k --claim role").unwrap_err().contains("expected NAME=JSON"));
    }

    #[test]
    fn a_token_that_ends_says_when() {
        let value = claims_of("--key k --expires 1h").unwrap();
        assert_eq!(value["exp"].as_u64().unwrap() - value["iat"].as_u64().unwrap(), 3600);
    }
}
