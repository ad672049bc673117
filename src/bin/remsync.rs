//! remsync: see `remsync.1`. Called by the name `remsync-deliver`, it is the filter.

use std::process::ExitCode;

use remsync::command::{self, outcome};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if std::path::Path::new(&name).file_name().is_some_and(|name| name == "remsync-deliver") {
        return command::deliver::main(arguments);
    }
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match command::run(arguments) {
        Ok(outcome) => outcome.into(),
        Err(failure) => {
            outcome::tell_failure(&failure);
            outcome::Outcome::Failed.into()
        }
    }
}
