//! The program `remsync-deliver`: see `remsync::command::deliver`.

use std::process::ExitCode;

fn main() -> ExitCode {
    remsync::command::deliver::main(std::env::args_os().skip(1))
}
