//! Instructions of native code, counted by valgrind: the same in every run, whatever else the machine does.

use std::path::Path;
use std::process::Command;

/// The environment variable that says to this program that it is the one that is counted, and what it is to do.
pub const TASK: &str = "TURNPIKE_BENCH_TASK";

/// Runs this program again on a task, and gives the instructions that it has spent inside a function of this name.
///
/// `None` where there is no valgrind.
pub fn count(function: &str, task: &Path) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect=*{function}*"))
        .arg(std::env::current_exe().unwrap())
        .env(TASK, task)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (_, counted) = said.split_once("Collected : ")?;
    counted.lines().next()?.trim().parse().ok()
}
