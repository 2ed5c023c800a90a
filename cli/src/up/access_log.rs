//! Where the access log goes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use host_sim::config::LineSink;
use resources::Plan;

use crate::args::Up;
use crate::{Failure, terminal};

/// Where the access log goes.
pub enum Destination {
    /// No policy asks for one.
    Nowhere,
    /// Among what the program prints.
    StandardOutput,
    /// To a file, at its absolute path.
    File(PathBuf),
}

impl Destination {
    /// Where it goes, as the policies and the command line have it. The file is made at once: a host would only say later,
    /// and less clearly, that it cannot be.
    ///
    /// # Errors
    /// A sentence about the file.
    pub fn of(args: &Up, plan: &Plan) -> Result<Destination, Failure> {
        let path = match (&plan.access_log, &args.access_log) {
            (None, None) => return Ok(Destination::Nowhere),
            (None, Some(_)) => {
                let what =
                    "--access-log: no policy asks for an access log; `spec.accessLog` of a Settings does";
                terminal::complain(what);
                return Ok(Destination::Nowhere);
            }
            (Some(_), None) => return Ok(Destination::StandardOutput),
            (Some(_), Some(path)) if path.as_os_str() == "-" => return Ok(Destination::StandardOutput),
            (Some(_), Some(path)) => path,
        };
        let failed = |error| format!("{}: {error}", path.display());
        let absolute = std::path::absolute(path).map_err(failed)?;
        open(&absolute)?;
        Ok(Destination::File(absolute))
    }

    /// As Envoy's configuration calls it.
    pub fn name(&self) -> String {
        match self {
            Destination::Nowhere | Destination::StandardOutput => "-".to_owned(),
            Destination::File(path) => path.display().to_string(),
        }
    }

    /// What takes its lines; nothing if there are none.
    ///
    /// # Errors
    /// A sentence about the file.
    pub fn sink(&self) -> Result<Option<LineSink>, Failure> {
        let file = match self {
            Destination::Nowhere => return Ok(None),
            Destination::StandardOutput => {
                return Ok(Some(Box::new(|line| terminal::tell(&String::from_utf8_lossy(line)))));
            }
            Destination::File(path) => open(path)?,
        };
        Ok(Some(Box::new(move |line| {
            // In one piece, so that lines of several threads do not mix. There is nobody to tell that a disk is full.
            let _ = (&file).write_all(&[line, b"\n"].concat());
        })))
    }
}

fn open(path: &std::path::Path) -> Result<File, Failure> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|error| format!("{}: {error}", path.display()))
}
