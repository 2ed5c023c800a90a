//! `turnpike`: the gateway on the command line. One command, one module; this file says which.

mod args;
mod check;
mod inputs;
mod mock;
mod render;
mod terminal;
mod token;
mod up;

use std::process::ExitCode;

use args::{Args, Command, Render};
use clap::Parser;

/// Why a command did not do what it was asked: one sentence for the person who asked.
pub type Failure = String;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            terminal::complain(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Up(up) => up::up(&up),
        Command::Check(check) => check::check(&check),
        Command::Render(Render::Envoy(render)) => render::envoy(&render),
        Command::Mock(mock) => mock::mock(&mock),
        Command::Token(token) => token::token(&token),
    }
}
