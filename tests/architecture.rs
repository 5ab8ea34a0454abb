//! The rules that keep `src/` readable, checked by reading it.
//!
//! Headers, sizes and names of files; which module may name which; the few places that may read
//! outside input, the environment or time, or choose a status code. Comments, text in quotes and
//! test modules are left out first. An exception needs a line in [`WAIVERS`], with its reason; one that
//! is no longer needed is a failure too.
//!
//! The reading is by words, not by types: enough to notice drift, not to stop a trickster.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, reads files and prints what is near a limit"
)]

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// Who may name whom: a module, then what it may name. `LEAVES` may be named by all; a path of
/// two steps allows that item only. Whatever is not written here is an arrow the wrong way.
const MAY_NAME: &[(&str, &[&str])] = &[
    // Leaves know no stage.
    ("body", &[]),
    ("algorithm", &[]),
    ("cache_key", &[]),
    ("cause", &[]),
    ("clock", &[]),
    ("drain", &[]),
    ("identity", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("tls", &[]),
    // The other side, spoken to by two stages.
    ("authority", &[]),
    // Stages, in the order of a request: each may name what comes out of an earlier one.
    ("listener", &[]),
    ("route", &[]),
    ("inbound", &["route", "authority", "listener::Peer"]),
    ("token", &["inbound", "authority"]),
    ("inject", &["token", "inbound", "route"]),
    ("forward", &["inject", "listener::Peer"]),
    // What ties the stages together, and what operations see.
    ("proxy", &["listener", "route", "inbound", "token", "inject", "forward"]),
    ("admin", &["listener", "inbound", "token"]),
    (
        "config",
        &["authority", "listener", "route", "inbound", "token", "inject", "forward", "proxy"],
    ),
    (
        "app",
        &["admin", "config", "listener", "route", "inbound", "token", "inject", "forward", "proxy"],
    ),
    ("cli", &["app", "config", "demo"]),
    ("demo", &["app", "config", "listener"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

const LEAVES: &[&str] = &[
    "algorithm",
    "body",
    "cache_key",
    "cause",
    "clock",
    "drain",
    "identity",
    "secret",
    "telemetry",
    "tls",
];

/// Inside `token`: the cache runs a fetch that it is given, and a flow only writes a form.
const MUST_NOT_NAME: &[(&str, &[&str])] = &[
    ("token::cache", &["token::flow", "token::wire"]),
    (
        "token::flow",
        &[
            "authority::Authority",
            "authority::AuthorityHttp",
            "authority::ClientSpec",
            "authority::Endpoint",
            "authority::FormRequest",
        ],
    ),
];

/// Words that only some files may use; a folder ends in `/`.
const PLACES: &[Place] = &[
    Place {
        rule: Rule::OutsideInput,
        words: &["Deserialize"],
        files: &[
            "config/schema.rs",
            "config/schema/",
            "config/units.rs",
            "authority/client_refusal.rs",
            "authority/credential/jwk.rs",
            "authority/metadata.rs",
            "inbound/key.rs",
            "inbound/key_set.rs",
            "token/wire.rs",
        ],
    },
    Place {
        rule: Rule::Environment,
        words: &["env::var", "env::var_os", "env::vars", "env::vars_os"],
        files: &["config.rs", "cli.rs"],
    },
    Place {
        rule: Rule::Time,
        words: &["SystemTime::now", "std::time::Instant"],
        files: &["clock.rs", "authority/http.rs"],
    },
    Place { rule: Rule::Status, words: &["StatusCode::"], files: &["proxy/respond.rs"] },
];

/// Exceptions, each with its reason.
const WAIVERS: &[(Rule, &str, &str)] = &[
    (Rule::Status, "admin.rs", "answers its own requests, which are not proxied"),
    (Rule::Status, "admin/user_tokens.rs", "answers its own requests, which are not proxied"),
    (Rule::Status, "demo/authority.rs", "plays an authorization server"),
    (Rule::Status, "demo/serve.rs", "plays a server"),
    (Rule::Status, "forward.rs", "reads the upstream's 101 and refuses one that nobody asked for"),
    (Rule::Status, "authority/client_refusal.rs", "reads the authority's answer"),
    (Rule::Status, "authority/metadata.rs", "reads the authority's answer"),
    (Rule::Status, "inbound/introspection/answer.rs", "reads the issuer's answer"),
    (Rule::Status, "inbound/key_source.rs", "reads the issuer's answer"),
    (Rule::Status, "proxy/recovery.rs", "reads the upstream's 401"),
    (Rule::Status, "token/wire.rs", "reads the authority's answer"),
];

const BANNED_NAMES: &[&str] =
    &["util", "utils", "common", "helpers", "misc", "types", "core", "base", "manager"];
const SOFT_FILE_LINES: usize = 250;
const HARD_FILE_LINES: usize = 400;
const HARD_FUNCTION_LINES: usize = 60;

#[test]
fn the_source_follows_its_rules() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    let mut findings: Vec<Finding> = sources.iter().flat_map(check).collect();
    let waived = |finding: &Finding| {
        WAIVERS.iter().position(|(rule, file, _)| *rule == finding.rule && *file == finding.file)
    };
    let used: BTreeSet<usize> = findings.iter().filter_map(waived).collect();
    findings.retain(|finding| waived(finding).is_none());
    let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}\n", shown.join("\n"));
    for (index, (rule, file, _)) in WAIVERS.iter().enumerate() {
        assert!(used.contains(&index), "the waiver of {rule:?} for {file} is no longer needed");
    }
}

/// Not a failure: `cargo test --test architecture -- --nocapture` shows what grows.
#[test]
fn files_near_the_limit_are_listed() {
    let mut sizes: Vec<_> = sources().iter().map(|s| (s.lines(), s.file.clone())).collect();
    sizes.sort_unstable();
    println!("{} files, median {} lines", sizes.len(), sizes[sizes.len() / 2].0);
    for (lines, file) in sizes.iter().rev().filter(|(lines, _)| *lines > SOFT_FILE_LINES) {
        println!("{lines:4} {file} (soft limit {SOFT_FILE_LINES})");
    }
    assert!(sizes[0].0 > 0, "{} is empty", sizes[0].1);
}

#[test]
fn every_module_has_its_row() {
    let lib = sources().into_iter().find(|source| source.file == "lib.rs").unwrap();
    let declared = lib.code.lines().filter_map(|line| line.trim().strip_prefix("pub mod "));
    let declared: BTreeSet<&str> = declared.map(|name| name.trim_end_matches(';')).collect();
    let rows = MAY_NAME.iter().map(|(module, _)| *module);
    let rows: BTreeSet<&str> = rows.filter(|row| !["main", "lib"].contains(row)).collect();
    assert_eq!(rows, declared, "left: rows of MAY_NAME, right: modules in lib.rs");
    assert!(LEAVES.iter().all(|leaf| rows.contains(leaf)), "a leaf that is no module");
}

/// Each rule finds its bad example, and only that.
#[test]
fn the_rules_find_what_they_look_for() {
    let long_file = format!("//! Long.\n{}", "const A: u8 = 0;\n".repeat(HARD_FILE_LINES));
    let body = "    work();\n".repeat(HARD_FUNCTION_LINES);
    let long_function = format!("//! Long.\n\nfn long(\n    a: [u8; 2],\n) {{\n{body}}}\n");
    for (file, text, expected) in [
        ("route.rs", "use http::Uri;\n", "route.rs:1: Header"),
        ("route.rs", "// Not the right kind.\n", "route.rs:1: Header"),
        ("route.rs", &long_file, "route.rs:1: FileSize"),
        ("route.rs", &long_function, "route.rs:3: FunctionSize"),
        ("route/utils.rs", HEADER, "route/utils.rs:1: Name"),
        ("helpers/path.rs", HEADER, "helpers/path.rs:1: Name"),
        (
            "route.rs",
            "//! R.\n#[derive(Debug, Deserialize)]\nstruct A;\n",
            "route.rs:2: OutsideInput",
        ),
        (
            "token.rs",
            "//! T.\nuse std::env;\nlet a = env::var(\"A\");\n",
            "token.rs:3: Environment",
        ),
        ("token.rs", "//! T.\nlet a = std::env::vars();\n", "token.rs:2: Environment"),
        ("token.rs", "//! T.\nlet now = SystemTime::now();\n", "token.rs:2: Time"),
        ("token.rs", "//! T.\nuse std::time::{\n    Duration, Instant,\n};\n", "token.rs:2: Time"),
        ("token.rs", "//! T.\nlet now = std::time::Instant::now();\n", "token.rs:2: Time"),
        ("forward/a.rs", "//! F.\nlet bad = StatusCode::BAD_GATEWAY;\n", "forward/a.rs:2: Status"),
        ("route.rs", "//! R.\nuse crate::token::AccessToken;\n", "route.rs:2: Direction"),
        ("route/a.rs", "//! R.\nuse crate::{body, proxy::Plan};\n", "route/a.rs:2: Direction"),
        ("route/a.rs", "//! R.\nuse super::super::config;\n", "route/a.rs:2: Direction"),
        ("route.rs", "//! R.\nfn a() { super::app::run() }\n", "route.rs:2: Direction"),
        ("forward.rs", "//! F.\nuse crate::listener::{Peer, Serve};\n", "forward.rs:2: Direction"),
        ("forward.rs", "//! F.\nuse crate::listener;\n", "forward.rs:2: Direction"),
        ("tls.rs", "//! T.\npub(in crate::config) fn a() {}\n", "tls.rs:2: Direction"),
        ("main.rs", "//! M.\nuse vicar::app::App;\n", "main.rs:2: Direction"),
        ("surprise.rs", "//! S.\nuse crate::route;\n", "surprise.rs:2: Direction"),
        ("token/cache.rs", "//! C.\nuse super::flow::Flow;\n", "token/cache.rs:2: Direction"),
        (
            "token/cache/slot.rs",
            "//! C.\nuse super::super::{flow};\n",
            "token/cache/slot.rs:2: Direction",
        ),
        (
            "token/flow.rs",
            "//! F.\nuse crate::authority::Endpoint;\n",
            "token/flow.rs:2: Direction",
        ),
    ] {
        let findings = check(&Source::new(file, text));
        let shown: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 1, "{text}\n{shown:?}");
        assert!(shown[0].starts_with(expected), "{text}\n{shown:?}");
    }
}

#[test]
fn the_rules_let_pass_what_is_allowed() {
    let quoted = r##"//! crate::app in a header is text.
use std::time::Duration;

use tokio::time::Instant;

use crate::body;
use crate::listener::Peer;

/* SystemTime::now /* crate::cli */ env::var */
const TEXT: &str = "// \" crate::app {";
const RAW: &str = r#"StatusCode::OK " crate::proxy {"#;
const BYTES: &[u8] = b"crate::proxy \" {";
const MARKS: [char; 4] = ['"', '\'', '{', '\u{7b}'];

fn lifetime<'a>(a: &'a str) -> &'a str {
    a // crate::admin
}

#[cfg(test)]
use crate::config;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;

    #[test]
    fn env() {
        assert_eq!("}", std::env::var("A").unwrap());
    }
}
"##;
    let long_tests = format!(
        "{HEADER}#[cfg(test)]\nmod tests {{\n{}}}\n",
        "    fn a() {}\n".repeat(HARD_FILE_LINES)
    );
    let short_function =
        format!("{HEADER}fn a() {{\n{}}}\n", "    work();\n".repeat(HARD_FUNCTION_LINES - 2));
    for (file, text) in [
        ("forward.rs", quoted),
        ("forward.rs", &long_tests),
        ("forward.rs", &short_function),
        ("config.rs", "//! C.\nlet a = std::env::var(\"A\");\n"),
        ("config/schema/a.rs", "//! C.\nuse serde::Deserialize;\n"),
        ("clock.rs", "//! C.\nlet now = SystemTime::now();\n"),
        ("proxy/respond.rs", "//! P.\nlet a = StatusCode::OK;\n"),
        ("proxy.rs", "//! P.\nuse http::StatusCode;\nfn a(status: StatusCode) {}\n"),
        ("cli.rs", "//! C.\nuse crate::{app::App, config};\n"),
        ("token/spec.rs", "//! T.\nuse super::{cache, flow, wire};\n"),
        ("token/cache/key.rs", "//! T.\nuse crate::token::TokenSpec;\nuse super::CacheKey;\n"),
    ] {
        let shown: Vec<String> =
            check(&Source::new(file, text)).iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{file}\n{text}\n{shown:?}");
    }
}

const HEADER: &str = "//! A header.\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Direction,
    Environment,
    FileSize,
    FunctionSize,
    Header,
    Name,
    OutsideInput,
    Status,
    Time,
}

struct Place {
    rule: Rule,
    words: &'static [&'static str],
    files: &'static [&'static str],
}

struct Finding {
    file: String,
    line: usize,
    rule: Rule,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, what } = self;
        write!(f, "{file}:{line}: {rule:?}: {what}")
    }
}

/// A file below `src`, as written and as code alone.
struct Source {
    file: String,
    text: String,
    /// The same lines without comments, text in quotes and test items.
    code: String,
    test_lines: usize,
}

impl Source {
    fn new(file: &str, text: &str) -> Self {
        let (code, test_lines) = without_tests(&without_text(text));
        Self { file: file.to_owned(), text: text.to_owned(), code, test_lines }
    }

    fn lines(&self) -> usize {
        self.text.lines().count() - self.test_lines
    }

    /// The module that the file is, `["token", "cache"]`.
    fn module(&self) -> Vec<&str> {
        self.file.trim_end_matches(".rs").split('/').collect()
    }

    fn finding(&self, offset: usize, rule: Rule, what: impl Into<String>) -> Finding {
        let line = 1 + self.code[..offset].matches('\n').count();
        Finding { file: self.file.clone(), line, rule, what: what.into() }
    }
}

/// All that is wrong with one file.
fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !source.text.starts_with("//! ") {
        findings.push(source.finding(0, Rule::Header, "does not start with `//!`"));
    }
    if source.lines() > HARD_FILE_LINES {
        let what = format!("{} lines without tests; split it", source.lines());
        findings.push(source.finding(0, Rule::FileSize, what));
    }
    if let Some(name) = source.module().iter().find(|name| BANNED_NAMES.contains(name)) {
        findings.push(source.finding(0, Rule::Name, format!("`{name}` says nothing")));
    }
    for (offset, name, lines) in functions(&source.code) {
        if lines > HARD_FUNCTION_LINES {
            let what = format!("`{name}` has {lines} lines; split it");
            findings.push(source.finding(offset, Rule::FunctionSize, what));
        }
    }
    let paths = paths(source);
    for place in PLACES.iter().filter(|place| !is_among(&source.file, place.files)) {
        let used = paths.iter().find_map(|(offset, path)| {
            let word = place.words.iter().find(|word| is_used(word, path))?;
            Some((offset, word))
        });
        if let Some((offset, word)) = used {
            let what = format!("`{word}` belongs in {}", place.files.join(", "));
            findings.push(source.finding(*offset, place.rule, what));
        }
    }
    let wrong = paths.iter().filter_map(|(offset, path)| Some((offset, wrong_way(source, path)?)));
    findings.extend(wrong.map(|(offset, what)| source.finding(*offset, Rule::Direction, what)));
    findings
}

/// Whether `path` ends in `word`, or goes through it when the word ends in `::`.
fn is_used(word: &str, path: &str) -> bool {
    let path = format!("::{path}");
    match word.strip_suffix("::") {
        Some(_) => path.contains(&format!("::{word}")),
        None => format!("{path}::").contains(&format!("::{word}::")),
    }
}

fn is_among(file: &str, places: &[&str]) -> bool {
    places.iter().any(|place| file == *place || (place.ends_with('/') && file.starts_with(place)))
}

/// What is wrong with naming `path`, when it leads into this crate against the direction.
fn wrong_way(source: &Source, path: &str) -> Option<String> {
    let inner = path.strip_prefix("crate::").or_else(|| path.strip_prefix("vicar::"))?;
    let module = source.module();
    let own = module.join("::");
    let below =
        |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}::"));
    for (who, whom) in MUST_NOT_NAME.iter().filter(|(who, _)| below(&own, who)) {
        if whom.iter().any(|whom| below(inner, whom)) {
            return Some(format!("`{who}` must not name `{inner}`"));
        }
    }
    let (from, to) = (module[0], inner.split("::").next()?);
    let known = |name: &str| MAY_NAME.iter().any(|(module, _)| *module == name);
    let allowed = MAY_NAME.iter().find(|(module, _)| *module == from).map(|(_, names)| *names);
    let Some(allowed) = allowed else { return Some(format!("`{from}` has no row in MAY_NAME")) };
    let fine = from == to
        || !known(to)
        || LEAVES.contains(&to)
        || allowed.iter().any(|allowed| below(inner, allowed));
    (!fine).then(|| format!("`{from}` must not name `{inner}`"))
}

/// Every path in the code with where it starts; braces are taken apart and `super` is resolved.
fn paths(source: &Source) -> Vec<(usize, String)> {
    let code = source.code.as_str();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = code[at..].find(is_word).map(|start| at + start) {
        let mut end = start;
        let mut written = Vec::new();
        read_path(code, &mut end, "", &mut written);
        at = end.max(start + 1);
        found.extend(written.into_iter().map(|path| (start, resolved(source, &path))));
    }
    found
}

/// Reads `a::b::{c, d::e}` at `at` into `a::b::c` and `a::b::d::e`.
fn read_path(code: &str, at: &mut usize, before: &str, found: &mut Vec<String>) {
    let word: &str = &code[*at..];
    let word = &word[..word.find(|c| !is_word(c)).unwrap_or(word.len())];
    *at += word.len();
    let path = if before.is_empty() { word.to_owned() } else { format!("{before}::{word}") };
    let Some(rest) = code[*at..].strip_prefix("::") else {
        found.push(path);
        return;
    };
    if rest.starts_with(is_word) {
        *at += 2;
        read_path(code, at, &path, found);
    } else if rest.starts_with('{') {
        *at += 3;
        while let Some(offset) = code[*at..].find(|c: char| !c.is_whitespace() && c != ',') {
            *at += offset;
            if code[*at..].starts_with(is_word) {
                read_path(code, at, &path, found);
            } else {
                // `}` ends the list; anything else is not a use tree.
                *at += 1;
                return;
            }
        }
    } else {
        // A glob, or type arguments.
        *at += 2;
        found.push(path);
    }
}

/// The path from the crate's root when it starts with `self` or `super`.
fn resolved(source: &Source, path: &str) -> String {
    let mut module = source.module();
    let mut steps: Vec<&str> = path.split("::").collect();
    let relative = matches!(steps[0], "self" | "super");
    while matches!(steps.first(), Some(&"self" | &"super")) {
        if steps.remove(0) == "super" {
            module.pop();
        }
    }
    if relative { [&["crate"], module.as_slice(), &steps].concat().join("::") } else { path.into() }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Functions with a body: where they start, their name, and their lines.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let name = &code[start + 3..];
        let name = &name[..name.find(|c| !is_word(c)).unwrap_or(name.len())];
        if name.is_empty() || code[..start].ends_with(is_word) {
            continue;
        }
        let end = item_end(code, start);
        found.push((start, name, code[start..end].trim_end().lines().count()));
    }
    found
}

/// Where the item at `start` ends: after its `;`, or after the brace that closes its first one.
fn item_end(code: &str, start: usize) -> usize {
    let (mut braces, mut others) = (0_usize, 0_usize);
    for (offset, c) in code[start..].char_indices() {
        match c {
            '{' => braces += 1,
            '(' | '[' => others += 1,
            ')' | ']' => others = others.saturating_sub(1),
            '}' if braces <= 1 => return start + offset + 1,
            '}' => braces -= 1,
            ';' if braces == 0 && others == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// `code` with the items under `#[cfg(test)]` blank, and how many lines they took.
fn without_tests(code: &str) -> (String, usize) {
    let (mut kept, mut lines) = (code.to_owned(), 0);
    while let Some(start) = kept.find(TEST_MARK) {
        let end = item_end(&kept, start + TEST_MARK.len());
        let blank: String = kept[start..end].chars().filter(|c| *c == '\n').collect();
        lines += 1 + blank.len();
        kept.replace_range(start..end, &blank);
    }
    (kept, lines)
}

/// `text` with comments gone and the content of text in quotes gone; lines stay where they are.
fn without_text(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at..] {
            ['/', '/', ..] => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
            ['/', '*', ..] => comment_end(&chars, at),
            ['"', ..] => quote_end(&chars, at, '"'),
            ['r', '"' | '#', ..] if at == 0 || !is_word(chars[at - 1]) || chars[at - 1] == 'b' => {
                raw_end(&chars, at)
            }
            ['\'', '\\', ..] | ['\'', _, '\'', ..] => quote_end(&chars, at, '\''),
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().filter(|c| **c == '\n'));
            at = end;
        }
    }
    code
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < chars.len() {
        match chars[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] if depth == 1 => return at + 2,
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

fn quote_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"…"` or `r#"…"#`; `start` itself for a raw identifier.
fn raw_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let closes = |at: usize| {
        chars[at] == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    let close = (open + 1..chars.len()).find(|&at| closes(at));
    close.map_or(chars.len(), |at| at + 1 + hashes)
}

/// Every file below `src`, but for test modules in files of their own.
fn sources() -> Vec<Source> {
    fn visit(folder: &Path, prefix: &str, found: &mut Vec<Source>) {
        let entries = std::fs::read_dir(folder).expect("a folder");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if path.is_dir() {
                visit(&path, &format!("{prefix}{name}/"), found);
            } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" {
                let text = std::fs::read_to_string(&path).expect("text");
                found.push(Source::new(&format!("{prefix}{name}"), &text));
            }
        }
    }
    let mut found = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut found);
    found
}

const TEST_MARK: &str = "#[cfg(test)]";
