//! A YAML document as a tree whose every key and value knows its line and column.
//!
//! Part of `config`. The parser is the library's; this file only gathers its events, because the
//! usual serde route stops at the first mistake and we report all of them. Scalars stay text: what
//! type they must have is the schema's business (`check`), so `${PORT}` can stand for a number.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{Position, Problem};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// What a value is, before anyone asked for a type.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// Text; `plain` when it was written without quotes.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping in the file's order, keys unique.
    Map(Vec<Entry>),
}

/// One `key: value` of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) node: Node,
}

impl Node {
    /// The value under `key`, when this is a mapping that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }
}

/// Parses one document. Syntax errors end the parse; repeated keys are all reported.
pub(super) fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let marker = *error.marker();
            let position = Position { line: marker.line(), column: marker.col() + 1 };
            vec![problem(position, &format!("not valid YAML: {error}"), "")]
        })?;
        builder.take(event, span)?;
    }
    if builder.problems.is_empty() {
        Ok(builder.root.unwrap_or(Node { position: START, value: Value::Null }))
    } else {
        Err(builder.problems)
    }
}

/// Gathers parser events; the stack holds the collections that are still open.
#[derive(Default)]
struct Builder {
    root: Option<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    problems: Vec<Problem>,
}

struct Open {
    position: Position,
    anchor: usize,
    content: OpenContent,
}

enum OpenContent {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(String, Position)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Vec<Problem>> {
        let position = Position { line: span.start.line(), column: span.start.col() + 1 };
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(vec![problem(position, "a second YAML document", "one file, one document")])
            }
            Event::Scalar(.., Some(_))
            | Event::SequenceStart(.., Some(_))
            | Event::MappingStart(.., Some(_)) => Err(vec![problem(
                position,
                "a YAML tag (`!…`)",
                "tags are not supported; remove it",
            )]),
            Event::Scalar(text, style, anchor, None) => {
                let value = scalar(text.into_owned(), style);
                self.finish(Node { position, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(position, anchor, OpenContent::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(position, anchor, OpenContent::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    self.nodes += size(node);
                    if self.nodes > MAX_NODES {
                        return Err(vec![problem(position, TOO_MANY, ALIASES)]);
                    }
                    let node = node.clone();
                    self.finish(node, 0)
                }
                None => Err(vec![problem(position, "an alias inside the value it names", "")]),
            },
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        position: Position,
        anchor: usize,
        content: OpenContent,
    ) -> Result<(), Vec<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(vec![problem(position, "nested too deeply", "")]);
        }
        self.stack.push(Open { position, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Vec<Problem>> {
        let Some(Open { position, anchor, content }) = self.stack.pop() else { return Ok(()) };
        let value = match content {
            OpenContent::List(items) => Value::List(items),
            OpenContent::Map { entries, .. } => Value::Map(merge(entries, &mut self.problems)),
        };
        self.finish(Node { position, value }, anchor)
    }

    /// Puts a complete value where it belongs: into the open collection, or at the root.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), Vec<Problem>> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(vec![problem(node.position, TOO_MANY, ALIASES)]);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(OpenContent::List(items)) => items.push(node),
            Some(OpenContent::Map { entries, key }) => match (key.take(), node) {
                (Some((name, at)), node) => {
                    if name != MERGE && entries.iter().any(|entry| entry.key == name) {
                        let what = format!("`{name}` is given twice");
                        self.problems.push(problem(at, &what, "keep one of them"));
                    } else {
                        entries.push(Entry { key: name, position: at, node });
                    }
                }
                (None, Node { position, value: Value::Scalar { text, .. } }) => {
                    *key = Some((text, position));
                }
                (None, Node { position, .. }) => {
                    return Err(vec![problem(position, "a key must be plain text", "")]);
                }
            },
        }
        Ok(())
    }
}

/// Applies `<<: *other`: keys of the named mappings that this one does not have itself.
fn merge(entries: Vec<Entry>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let (merges, mut entries): (Vec<_>, Vec<_>) = entries.into_iter().partition(|e| e.key == MERGE);
    for source in merges {
        let maps = match source.node.value {
            Value::List(nodes) => nodes,
            _ => vec![source.node],
        };
        for map in maps {
            let Value::Map(inherited) = map.value else {
                let what = "`<<` merges mappings, and this is none";
                problems.push(problem(
                    map.position,
                    what,
                    "name an anchor of a mapping: <<: *defaults",
                ));
                continue;
            };
            for entry in inherited {
                if entries.iter().all(|own| own.key != entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
    entries
}

fn scalar(text: String, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Scalar { text, plain },
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
        Value::Null | Value::Scalar { .. } => 0,
    }
}

fn problem(position: Position, what: &str, hint: &str) -> Problem {
    Problem { position, path: String::new(), what: what.to_owned(), hint: hint.to_owned() }
}

const MERGE: &str = "<<";
const START: Position = Position { line: 1, column: 1 };
const MAX_DEPTH: usize = 64;
/// Room for tens of thousands of routes; an alias bomb meets it within milliseconds.
const MAX_NODES: usize = 500_000;
const TOO_MANY: &str = "too many values";
const ALIASES: &str = "do aliases (*name) stand inside what other aliases name?";
