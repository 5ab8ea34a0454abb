//! What Vicar logs in this process, so that a test can look for its own words in it.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Listens from now on, on behalf of all tests.
pub fn listen() {
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| {
        let targets = Targets::new().with_target("vicar", LevelFilter::WARN);
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| Writer);
        let _ = tracing_subscriber::registry().with(layer.with_filter(targets)).try_init();
    });
}

/// The warnings and errors so far that have all of these words: a test's own are those that name its own
/// files or addresses.
pub fn warnings(words: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).cloned().collect()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).into_owned();
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
