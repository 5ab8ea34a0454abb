//! No secret, token or credential in any log line, metric, admin page or answer of Vicar's own.
//!
//! Marked secrets are carried through every path that succeeds or fails, at the highest log level;
//! then everything Vicar wrote and answered is searched for them in every usual encoding.

mod callers;
mod goaway;
mod malformed;
mod marker;
mod scanner;
mod walk;
mod world;

use std::{fs, time::Duration};

use crate::{
    child::{ScratchGuard, poll},
    vicar_process::{Vicar, quoted, run},
};

use self::{
    marker::SECRET,
    scanner::Scanner,
    walk::{Answers, Walk},
    world::World,
};

#[test]
fn nothing_leaks_with_a_secret_from_a_file_in_json() {
    let world = World::start();
    let yaml = world.yaml("json", "{ file: SCRATCH/secret }");
    let mut vicar = world.setup(yaml).file("secret", SECRET).start();
    let mut answers = walked(&vicar);
    // A rotation that went wrong: no text, but the secret is in it.
    let broken = [b"\xff\xfe".as_slice(), SECRET.as_bytes()].concat();
    vicar.scratch.write("secret", &broken);
    answers.extend(Walk::new(&vicar).after_a_broken_rotation());
    judged(&mut vicar, answers);
    assert!(vicar.log().contains("last good value"), "the broken file was read");
}

#[test]
fn nothing_leaks_with_a_secret_from_the_environment_in_text() {
    let world = World::start();
    let yaml = world.yaml("pretty", "{ env: VICAR_TEST_SECRET }");
    let mut vicar = world.setup(yaml).environment("VICAR_TEST_SECRET", SECRET).start();
    let answers = walked(&vicar);
    judged(&mut vicar, answers);
}

#[test]
fn nothing_leaks_with_an_inline_secret_though_the_environment_asks_for_more() {
    let world = World::start();
    let yaml = world.yaml("json", &format!("{{ danger_inline: {} }}", quoted(SECRET)));
    let wishes = ["RUST_LOG", "HYPER_LOG", "REQWEST_LOG"];
    let setup =
        wishes.iter().fold(world.setup(yaml), |setup, name| setup.environment(name, "trace"));
    let mut vicar = setup.start();
    let answers = walked(&vicar);
    judged(&mut vicar, answers);
    let detailed = |level: &str| ["DEBUG", "TRACE"].contains(&level);
    let others = vicar.lines(|line| {
        let target = line["target"].as_str().unwrap_or_default();
        !target.starts_with("vicar") && detailed(line["level"].as_str().unwrap_or_default())
    });
    assert!(others.is_empty(), "libraries that talk in detail: {others:#?}");
}

#[test]
fn a_secret_in_the_wrong_place_of_the_file_is_not_repeated() {
    let scratch = ScratchGuard::new();
    let folder = scratch.path("");
    let scanner = Scanner::new(marker::ALL);
    let mut leaks = Vec::new();
    for (number, (key, value)) in MISPLACED.iter().enumerate() {
        let value = value.replace("SECRET", PLAIN);
        let yaml = MISTAKEN.replace(&format!("KEY-{key}"), &value);
        let yaml = yaml.replace("KEY-secret", "{ danger_inline: x }").replace("KEY-proxy", "none");
        let file = scratch.write(&format!("{number}.yaml"), yaml.as_bytes());
        let file = file.to_str().expect("a UTF-8 folder");
        let ended = run(&["check", file], &[("VICAR_TEST_KEY", PLAIN)]);
        assert_eq!(ended.code, Some(2), "{value} is no mistake: {ended:?}");
        let text = (ended.stdout + &ended.stderr).replace(folder.to_str().unwrap_or_default(), "");
        if !scanner.leaks(text.as_bytes()).is_empty() {
            leaks.push(format!("{key}: {value}\n{text}"));
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
}

/// Walks every path but the end; the log must show that each was taken.
fn walked(vicar: &Vicar) -> Answers {
    let answers = Walk::new(vicar).all();
    let log = || vicar.stdout();
    for reason in walk::REASONS {
        let told = poll(Duration::from_secs(2), || log().contains(reason).then_some(()));
        assert!(told.is_some(), "{reason} was not met:\n{}", log());
    }
    answers
}

/// Ends Vicar while a request is on its way and searches everything it ever said.
fn judged(vicar: &mut Vicar, mut answers: Answers) {
    let held = walk::hold_a_request(vicar);
    vicar.child.signal("TERM");
    let status = vicar.exit_within(Duration::from_secs(6));
    assert_eq!(status.expect("it ends").code(), Some(0), "{}", vicar.log());
    drop(held);
    assert_eq!(vicar.stderr(), "", "no panic was met on the way");
    let stdout = fs::read(vicar.scratch.path("stdout")).expect("a log");
    assert!(stdout.len() > 20_000, "too short to be the log of all this: {}", stdout.len());
    answers.push(("the log".to_owned(), stdout));
    let scanner = Scanner::new(marker::ALL);
    let mut found = Vec::new();
    for (name, bytes) in answers {
        found.extend(scanner.leaks(&bytes).into_iter().map(|leak| format!("{name}: {leak}")));
    }
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
}

/// A secret that needs no quotes in YAML.
const PLAIN: &str = marker::PLAIN_SECRET;

/// A file with room for one mistake.
const MISTAKEN: &str = "\
listeners:
  l: { address: '127.0.0.1:0' }
clients:
  c:
    authority: { token_endpoint: 'http://127.0.0.1:1/', proxy: KEY-proxy }
    client_id: c
    credential:
      client_secret: KEY-secret
routes:
  - name: r
    listener: l
    token: { client_credentials: { client: c } }
    upstream: http://127.0.0.1:1
";

/// What people write where a reference belongs, or a proxy's address.
const MISPLACED: [(&str, &str); 19] = [
    ("secret", "SECRET"),
    ("secret", "'SECRET'"),
    ("secret", "[ SECRET ]"),
    ("secret", "{ SECRET }"),
    ("secret", "{ danger_inlin: SECRET }"),
    ("secret", "{ inline: SECRET }"),
    ("secret", "{ danger_inline: { value: SECRET } }"),
    ("secret", "{ danger_inline: SECRET, env: SECRET }"),
    ("secret", "{ danger_inline: *SECRET }"),
    ("secret", "{ danger_inline: @SECRET }"),
    ("secret", "{ danger_inline: %SECRET }"),
    ("secret", "{ danger_inline: \"\\SECRET\" }"),
    ("secret", "{ danger_inline: 'pass${SECRET.}word' }"),
    ("secret", "{ danger_inline: 'pass${SECRET' }"),
    ("secret", "${VICAR_TEST_KEY}"),
    ("proxy", "ftp://user:SECRET@127.0.0.1:1"),
    ("proxy", "http://user:SECRET@127.0.0.1:1/path"),
    ("proxy", "'http://user:SECRET@'"),
    ("proxy", "user:SECRET@127.0.0.1:1"),
];
