//! `turnpike render`: what a host would be given, to look at or to take elsewhere.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use envoy_config::{File, MODULE, Settings, render, render_keys};

use crate::args::RenderEnvoy;
use crate::{Failure, inputs, terminal};

/// Writes the Envoy configuration of policies.
///
/// # Errors
/// The policies are wrong, or the folder cannot be written to.
pub fn envoy(args: &RenderEnvoy) -> Result<(), Failure> {
    let plan = inputs::plan(&args.policies)?;
    let settings = Settings {
        listen: args.listen,
        admin: args.admin,
        max_request_bytes: policy::DEFAULT_MAX_REQUEST_BYTES,
        ca_file: args.ca_file.clone(),
        access_log: args.access_log.clone(),
        sidecar: Some(args.sidecar.clone()),
    };
    let files = render(&plan, &settings);
    write(&args.output, &files)?;
    let folder = args.output.display();
    if args.keys {
        write_keys(&args.output, &render_keys(&plan))?;
    } else {
        terminal::tell(&format!("without keys: --keys writes them to {folder}/keys, for your eyes only"));
    }
    if plan.needs_sidecar() {
        terminal::tell(&format!(
            "budgets are counted by turnpike-sidecar, which has to listen on {}",
            args.sidecar
        ));
    }
    let (envoy, module) = (envoy_config::BOOTSTRAP, args.output.join(MODULE));
    if !module.exists() {
        terminal::tell(&format!("without the module: copy {MODULE} to {folder}"));
    }
    terminal::tell(&format!("to run it: cd {folder} && envoy -c {envoy}"));
    Ok(())
}

/// Writes files to a folder, which is made if need be.
///
/// # Errors
/// A sentence about the file that cannot be written.
pub fn write(folder: &Path, files: &[File]) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    files.iter().try_for_each(|file| replace(&folder.join(&file.name), &file.text, 0o644))
}

/// Writes files that hold keys: nobody else may read them.
///
/// # Errors
/// A sentence about the file that cannot be written.
pub fn write_keys(folder: &Path, files: &[File]) -> Result<(), Failure> {
    let keys = folder.join("keys");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&keys);
    made.map_err(|error| format!("{}: {error}", keys.display()))?;
    files.iter().try_for_each(|file| replace(&folder.join(&file.name), &file.text, 0o600))
}

/// Writes a file in one step, as whoever watches it has to see it: a new one takes the place of the old.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let beside = path.with_extension("new");
    let written = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside);
    let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&beside, path)).map_err(|error| format!("{}: {error}", path.display()))
}
