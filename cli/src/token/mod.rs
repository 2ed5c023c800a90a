//! `turnpike token`: keys and tokens to try things out with, and a look into any token.

mod inspect;
mod key;
mod sign;

use std::io::Read;
use std::path::Path;

use crate::Failure;
use crate::args::{Keygen, Public, Token};
use key::PrivateKey;

/// Does what is asked with keys and tokens.
///
/// # Errors
/// A sentence about a key, a claim or a token.
pub fn token(token: &Token) -> Result<(), Failure> {
    match token {
        Token::Keygen(args) => keygen(args),
        Token::Public(args) => public(args),
        Token::Sign(args) => sign::sign(args),
        Token::Inspect(args) => inspect::inspect(args),
    }
}

fn keygen(args: &Keygen) -> Result<(), Failure> {
    print!("{}", PrivateKey::generate(args.alg)?.to_pem()?);
    Ok(())
}

fn public(args: &Public) -> Result<(), Failure> {
    let key = read_key(&args.key)?;
    if args.jwks {
        println!("{}", serde_json::json!({ "keys": [key.to_jwk(args.kid.as_deref())] }));
    } else {
        print!("{}", key.to_public_pem()?);
    }
    Ok(())
}

/// Reads a private key from a file, or from the standard input for `-`.
fn read_key(path: &Path) -> Result<PrivateKey, Failure> {
    let text = if path.as_os_str() == "-" { standard_input()? } else { read_file(path)? };
    PrivateKey::read(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn read_file(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    Ok(text)
}
