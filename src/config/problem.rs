//! A problem of the configuration: where it is, what is wrong, how to mend it.
//!
//! Part of `config`. Problems are values; loading collects them all and reports them at once.

use std::fmt;

/// A position in a configuration file, both counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing wrong with a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where in the file.
    pub position: Position,
    /// The YAML path, `routes[2].upstream.url`; empty for the whole file.
    pub path: String,
    /// What is wrong.
    pub what: String,
    /// How to mend it; empty when `what` says it all.
    pub hint: String,
}

/// All that is wrong with one configuration file.
#[derive(Debug, thiserror::Error)]
pub struct Problems {
    /// The file's name as the user gave it.
    pub file: String,
    /// In the order of the file, never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problem {
    /// `line:column: path: what`, and the hint on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { position, path, what, hint } = self;
        write!(f, "{}:{}: ", position.line, position.column)?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{what}")?;
        if hint.is_empty() { Ok(()) } else { write!(f, "\n    {hint}") }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{}:{problem}", self.file)?;
        }
        let count = self.problems.len();
        write!(f, "{count} problem{} in {}", if count == 1 { "" } else { "s" }, self.file)
    }
}
