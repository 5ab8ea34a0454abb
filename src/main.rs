//! The `vicar` command: parses arguments, runs, maps the result to an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match vicar::cli::Cli::parse().execute() {
        Ok(code) => code,
        Err(error) => {
            let _ = std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("vicar: {error:#}\n"),
            );
            ExitCode::FAILURE
        }
    }
}
