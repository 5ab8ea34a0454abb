//! Where a secret is read from, and the reading of it.
//!
//! A leaf. A secret's value lives in [`SecretString`], which neither prints nor serialises and is
//! wiped when dropped. Files are read when they are needed, by path, so that Kubernetes' `..data`
//! symlink swap is followed without watching anything; a file that is missing, empty or half
//! written leaves the last good value in use.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Where a secret comes from.
#[derive(Debug)]
pub enum SecretSource {
    /// A file, read again at each use.
    File(SecretFile),
    /// A value known since the configuration was loaded.
    Fixed {
        /// How the user referred to it; never the value.
        described: String,
        /// The value.
        value: SecretString,
    },
}

impl SecretSource {
    /// A secret in a file.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(SecretFile { path: path.into(), known: Mutex::default() })
    }

    /// The secret's value now. Reads a small file: from async code, go through [`Self::load`].
    ///
    /// # Errors
    /// When the file cannot be read and never could.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::File(file) => file.read(),
            Self::Fixed { value, .. } => Ok(value.clone()),
        }
    }

    /// The secret's value now, without blocking the runtime.
    ///
    /// # Errors
    /// When the file cannot be read and never could.
    pub async fn load(self: &std::sync::Arc<Self>) -> Result<SecretString, SecretError> {
        match self.as_ref() {
            Self::Fixed { value, .. } => Ok(value.clone()),
            Self::File(file) => {
                let (source, path) = (std::sync::Arc::clone(self), file.path.clone());
                let read = tokio::task::spawn_blocking(move || source.read());
                read.await
                    .map_err(|_| SecretError { path, what: "reading it was aborted".into() })?
            }
        }
    }

    /// How the user referred to it, for messages; never the value.
    #[must_use]
    pub fn described(&self) -> String {
        match self {
            Self::File(file) => file.path.display().to_string(),
            Self::Fixed { described, .. } => described.clone(),
        }
    }

    /// The file it is kept in, if it is.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file) => Some(&file.path),
            Self::Fixed { .. } => None,
        }
    }

    /// What tells this source from others, as part of a cache key.
    #[must_use]
    pub fn identity(&self) -> (&str, &[u8]) {
        match self {
            Self::File(file) => ("file", file.path.as_os_str().as_encoded_bytes()),
            Self::Fixed { value, .. } => ("fixed", value.expose_secret().as_bytes()),
        }
    }
}

/// A secret in a file, and the last value that was good.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last_good: Option<SecretString>,
    /// Whether the log has been told that the file is unusable.
    told: bool,
}

impl SecretFile {
    fn read(&self) -> Result<SecretString, SecretError> {
        let read = read_small(&self.path);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match (read, known.last_good.as_ref()) {
            (Ok(fresh), _) => {
                known.told = false;
                known.last_good = Some(fresh.clone());
                Ok(fresh)
            }
            (Err(error), Some(old)) => {
                let old = old.clone();
                if !std::mem::replace(&mut known.told, true) {
                    tracing::warn!(%error, "secret file unusable; the last good value stays in use");
                }
                Ok(old)
            }
            (Err(error), None) => Err(error),
        }
    }
}

fn read_small(path: &Path) -> Result<SecretString, SecretError> {
    let fail = |what: &str| SecretError { path: path.to_owned(), what: what.to_owned() };
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| fail("it is not text"))?;
    // Editors and `echo` end files with a newline that is no part of the secret.
    let trimmed = text.trim_end_matches(['\r', '\n']);
    if trimmed.is_empty() { Err(fail("it is empty")) } else { Ok(trimmed.into()) }
}

/// A small file, whole. Blocks: not for async code.
///
/// # Errors
/// When it cannot be read, is empty, or too large to be what it should be.
pub fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let fail = |what: String| SecretError { path: path.to_owned(), what };
    // Reserved at once: a buffer that grows leaves copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(EXPECTED_BYTES));
    #[allow(clippy::disallowed_methods, reason = "async code comes from blocking tasks")]
    let file = std::fs::File::open(path).map_err(|error| fail(error.to_string()))?;
    let mut limited = file.take(MAX_BYTES + 1);
    limited.read_to_end(&mut bytes).map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(fail(format!("it is larger than {MAX_BYTES} bytes")));
    }
    if bytes.is_empty() { Err(fail("it is empty".into())) } else { Ok(bytes) }
}

/// A secret that cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read {}: {what}", path.display())]
pub struct SecretError {
    path: PathBuf,
    what: String,
}

const MAX_BYTES: u64 = 64 * 1024;
const EXPECTED_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_symlink_swap_and_outlives_a_half_written_file() {
        let dir = std::env::temp_dir().join(format!("vicar-secret-{}", fastrand::u64(..)));
        std::fs::create_dir_all(&dir).unwrap();
        let (path, next) = (dir.join("secret"), dir.join("next"));
        for (name, value) in [("v1", "one\n"), ("v2", "two\r\n"), ("v3", "")] {
            std::fs::write(dir.join(name), value).unwrap();
        }
        let source = SecretSource::file(&path);
        assert!(source.read().unwrap_err().to_string().contains("secret"));
        for (target, expected) in [("v1", "one"), ("v2", "two"), ("v3", "two"), ("gone", "two")] {
            std::os::unix::fs::symlink(dir.join(target), &next).unwrap();
            std::fs::rename(&next, &path).unwrap();
            assert_eq!(source.read().unwrap().expose_secret(), expected, "{target}");
        }
        assert!(!format!("{source:?}").contains("two"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
