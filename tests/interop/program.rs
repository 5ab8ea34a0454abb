//! Programs of this folder: those that answer line by line, and those that listen.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

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

/// Starts a Node program that listens until its stdin closes, and waits for its line about itself.
pub(crate) fn serve(program: &str, arguments: &[&OsStr]) -> (ChildGuard, Value) {
    let mut command = Command::new("node");
    command.arg(folder().join(program)).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = ChildGuard(command.spawn().expect("node starts"));
    let line = first_line(child.0.stdout.take().expect("a piped stdout"));
    let about = serde_json::from_str(&line)
        .unwrap_or_else(|_| panic!("{program} did not start, see above. {SETUP}"));
    (child, about)
}

/// The first line of a child's stdout, or nothing when it does not come in time.
fn first_line(stdout: ChildStdout) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        drop(BufReader::new(stdout).read_line(&mut line));
        drop(sender.send(line));
    });
    receiver.recv_timeout(START_LIMIT).unwrap_or_default()
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

/// Node starts in about a second; this is for a machine under load.
const START_LIMIT: Duration = Duration::from_secs(30);
