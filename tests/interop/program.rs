//! Programs of this folder that answer line by line.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    authority::SETUP,
    process::{ChildGuard, ScratchGuard, poll},
};

/// A Python program of this folder that needs a package; fails with the set-up command without it.
pub(crate) fn python(program: &str, package: &str) -> Command {
    let python = folder().join(".venv/bin/python");
    let mut probe = Command::new(&python);
    probe.args(["-c", &format!("import {package}")]).stdin(Stdio::null()).stderr(Stdio::null());
    let there = probe.status().is_ok_and(|status| status.success());
    assert!(there, "the Python package {package} is missing. {SETUP}");
    let mut command = Command::new(python);
    // `-B`: nothing is written beside the sources.
    command.arg("-B").arg(folder().join(program));
    command
}

/// Runs a program that reads lines and answers with lines.
pub(crate) fn ask(mut command: Command, lines: &[String]) -> Vec<String> {
    let scratch = ScratchGuard::new();
    let question = File::open(scratch.write("question", lines.join("\n"))).expect("a file");
    let answer = scratch.write("answer", "");
    command.stdin(question).stdout(File::create(&answer).expect("a file"));
    let mut child = ChildGuard(command.spawn().expect("the program starts"));
    poll(ANSWER_LIMIT, || child.has_left().then_some(())).expect("the program ends in time");
    let answer = fs::read_to_string(answer).expect("the program's answer");
    answer.lines().map(str::to_owned).collect()
}

/// Where this file's neighbours `provider.mjs`, `verify.mjs` and `node_modules` lie.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// For all answers of a program, which takes a few seconds, on a machine under load.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);
