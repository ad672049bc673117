//! remsync: see `remsync.1`. Called by the name `remsync-deliver` it is the filter, and by the name of
//! an old companion that one.

use std::process::ExitCode;

use remsync::command::{self, outcome};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name().unwrap_or_default().to_owned();
    if name == "remsync-deliver" {
        return command::deliver::main(arguments);
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match command::run_as(&name, arguments) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            outcome::tell_failure(&failure);
            outcome::Outcome::Failed.into()
        }
    }
}
