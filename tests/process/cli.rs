//! The commands: what they print, where they print it, and the exit code a script relies on.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use serde_json::Value;

use crate::{
    child::ScratchGuard,
    vicar_process::{free_addresses, run, run_while},
    wire,
};

#[test]
fn check_says_in_one_line_that_a_good_file_is_good() {
    let scratch = ScratchGuard::new();
    let file = file(&scratch, GOOD);
    let ended = run(&["check", &file], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout, format!("{file}: good (1 listeners, 0 clients, 1 routes)\n"));
    assert_eq!(ended.stderr, "", "nothing is wrong");
}

#[test]
fn check_reports_every_mistake_of_form_with_file_line_and_column() {
    reports_every(MISFORMED, &["adress: x", "loud", "upstreem"]);
}

#[test]
fn check_reports_every_mistake_of_meaning_with_file_line_and_column() {
    reports_every(MISMEANT, &["address: nowhere", "listener: other", "client: ghost", "url: ftp"]);
}

#[test]
fn a_file_that_is_missing_exits_2_and_says_how_to_name_one() {
    let scratch = ScratchGuard::new();
    let path = scratch.path("absent.yaml");
    let missing = path.to_str().expect("a UTF-8 folder");
    for arguments in [&["check", missing][..], &["run", "-c", missing]] {
        let ended = run(arguments, &[]);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
        for part in [&format!("{missing}:1:1: "), "-c", "VICAR_CONFIG"] {
            assert!(ended.stderr.contains(part), "{part:?} is not in {ended:?}");
        }
    }
}

#[test]
fn run_with_a_broken_file_exits_2_and_never_listens() {
    let scratch = ScratchGuard::new();
    let [listener, admin] = free_addresses();
    let yaml = GOOD.replace("127.0.0.1:0", &listener.to_string());
    let yaml = format!("admin: {{ address: {admin} }}\n{yaml}    upstreem: x\n");
    let file = file(&scratch, &yaml);
    let mut reached = false;
    let ended = run_while(&["run", "-c", &file], &[], || {
        reached |= !wire::is_refused(listener) || !wire::is_refused(admin);
    });
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!reached, "something listened");
    assert_eq!(ended.stdout, "", "nothing started, so nothing is logged");
    assert_eq!(ended.stderr, run(&["check", &file], &[]).stderr, "the same words as check");
    assert!(ended.stderr.starts_with(&at(&file, &yaml, "upstreem")), "{ended:?}");
}

#[test]
fn vicar_config_names_the_file_for_run_and_check_and_an_argument_wins() {
    let scratch = ScratchGuard::new();
    let good = file(&scratch, GOOD);
    let bad = scratch.write("bad.yaml", b"nonsense: 1\n");
    let bad = bad.to_str().expect("a UTF-8 folder");

    let named = run(&["check"], &[("VICAR_CONFIG", &good)]);
    assert!(named.code == Some(0) && named.stdout.starts_with(&good), "{named:?}");
    for arguments in [&["check"][..], &["run"]] {
        let named = run(arguments, &[("VICAR_CONFIG", bad)]);
        assert_eq!(named.code, Some(2), "{arguments:?}: {named:?}");
        assert!(named.stderr.contains(&format!("{bad}:1:1: ")), "{named:?}");
    }
    let argued = run(&["check", &good], &[("VICAR_CONFIG", bad)]);
    assert_eq!(argued.code, Some(0), "the argument is nearer than the variable: {argued:?}");
    let argued = run(&["run", "-c", bad], &[("VICAR_CONFIG", &good)]);
    assert!(argued.code == Some(2) && argued.stderr.contains(bad), "{argued:?}");
}

#[test]
fn schema_prints_the_schema_that_loading_checks_against() {
    let ended = run(&["schema"], &[]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(printed, vicar::config::json_schema());
    assert_eq!(printed["title"], "Vicar configuration");
}

#[test]
#[cfg(feature = "demo")]
fn the_demo_does_what_it_says() {
    let ended = run(&["demo", "--once"], &[]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stdout.contains("FAILED"), "{}", ended.stdout);
    let steps = ended.stdout.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    assert!(steps >= 10, "{steps} steps told: {}", ended.stdout);
}

#[test]
fn a_port_that_is_taken_exits_1_and_names_the_address() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    let taken = held.local_addr().expect("a bound address").to_string();
    let listener = GOOD.replace("127.0.0.1:0", &taken);
    // One worker takes another way to its socket than several do.
    for yaml in [
        format!("admin: {{ address: 'off' }}\nruntime: {{ workers: 1 }}\n{listener}"),
        format!("admin: {{ address: 'off' }}\nruntime: {{ workers: 3 }}\n{listener}"),
        format!("admin: {{ address: '{taken}' }}\n{GOOD}"),
    ] {
        let scratch = ScratchGuard::new();
        let ended = run(&["run", "-c", &file(&scratch, &yaml)], &[]);
        assert_eq!(ended.code, Some(1), "{yaml}\n{ended:?}");
        assert!(ended.stderr.contains(&taken), "{ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "one line that says it all: {ended:?}");
    }
}

#[test]
fn version_and_help_go_to_standard_output_and_exit_0() {
    let version = run(&["--version"], &[]);
    assert_eq!(version.stdout, format!("vicar {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.code, Some(0), "{version:?}");
    let help = run(&["--help"], &[]);
    assert_eq!(help.code, Some(0), "{help:?}");
    for command in ["run", "check", "schema"] {
        let names_it = |line: &str| line.trim_start().starts_with(command);
        assert!(help.stdout.lines().any(names_it), "{command} is not in {}", help.stdout);
    }
    let run_help = run(&["run", "--help"], &[]);
    assert!(run_help.stdout.contains("VICAR_CONFIG"), "{run_help:?}");
}

#[test]
fn arguments_that_make_no_sense_exit_2_and_go_to_standard_error() {
    for arguments in [&[][..], &["serve"], &["run", "--port", "1"], &["check", "a", "b"]] {
        let ended = run(arguments, &[]);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stdout.is_empty() && !ended.stderr.is_empty(), "{arguments:?}: {ended:?}");
    }
}

/// Every mistake is reported, each with its own position, and in the order of the file.
fn reports_every(yaml: &str, mistakes: &[&str]) {
    let scratch = ScratchGuard::new();
    let file = file(&scratch, yaml);
    let ended = run(&["check", &file], &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "", "problems go to standard error");
    // Hints are indented; the last line counts.
    let lines = ended.stderr.lines().filter(|line| line.starts_with(&format!("{file}:")));
    let positions: Vec<&str> = lines.map(|line| &line[..=line.find(": ").unwrap_or(0)]).collect();
    let expected: Vec<String> = mistakes.iter().map(|mistake| at(&file, yaml, mistake)).collect();
    assert_eq!(positions, expected, "{}", ended.stderr);
    let count = format!("{} problems in {file}", mistakes.len());
    assert_eq!(ended.stderr.lines().last(), Some(count.as_str()));
}

/// `file:line:column:` of the first place where `text` stands.
fn at(file: &str, yaml: &str, text: &str) -> String {
    let before = &yaml[..yaml.find(text).expect("the mistake is in the file")];
    let column = before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1;
    format!("{file}:{}:{column}:", before.matches('\n').count() + 1)
}

/// Writes a configuration and gives its path as text.
fn file(scratch: &ScratchGuard, yaml: &str) -> String {
    let path = scratch.write("vicar.yaml", yaml.as_bytes());
    Path::to_str(&path).expect("a UTF-8 folder").to_owned()
}

/// The smallest file that is good.
const GOOD: &str = "\
listeners:
  l: { address: '127.0.0.1:0' }
routes:
  - name: r
    listener: l
    token: strip
    upstream: http://127.0.0.1:1
";

/// An unknown key, a value outside a closed list, and an unknown key further down.
const MISFORMED: &str = "\
listeners:
  l: { address: '127.0.0.1:0', adress: x }
log: { format: json, level: loud }
routes:
  - name: r
    listener: l
    token: strip
    upstream: http://127.0.0.1:1
    upstreem: x
";

/// Well-formed, and yet no address, no such listener, no such client, no such protocol.
const MISMEANT: &str = "\
listeners:
  l: { address: nowhere }
routes:
  - name: r
    listener: other
    token: strip
    upstream: http://127.0.0.1:1
  - name: s
    listener: l
    token:
      client_credentials: { client: ghost }
    upstream:
      url: ftp://127.0.0.1:1
";
