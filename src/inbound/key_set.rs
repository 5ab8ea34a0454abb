//! A key set and the choice of the one key that may have signed a token (RFC 7517 section 5).
//!
//! Part of `inbound`. One bad key does not spoil the others. Two different keys that answer to one name
//! spoil that name: which of them counts would be a guess.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::key::{UnusableKey, VerificationKey};
use crate::algorithm::Algorithm;

/// The usable keys of a set.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<VerificationKey>>,
    private: usize,
}

/// Why a document is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// No usable key in it.
    #[error("no key in it can be used")]
    Empty,
    /// Not `{"keys": [...]}`.
    #[error("it is not a key set")]
    NotAKeySet,
    /// Keys that anybody could sign with.
    #[error("its keys are private or symmetric; only public keys are used")]
    Private,
    /// More keys than any issuer has.
    #[error("it holds more than {MAX_KEYS} keys")]
    TooMany,
}

/// Why no key can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// More than one could be meant.
    Ambiguous,
    /// The one that is named is not for this algorithm.
    Unfit,
    /// None of that name; a newer set may have it.
    Unknown,
}

#[derive(Deserialize)]
struct Document<'d> {
    #[serde(borrow)]
    keys: Vec<&'d RawValue>,
}

impl KeySet {
    /// Reads a key set; keys that were in `previous` stay the same objects.
    ///
    /// # Errors
    /// When it is not a key set, or nothing in it can be used.
    pub fn parse(
        document: &[u8],
        allowed: &[Algorithm],
        previous: Option<&Self>,
    ) -> Result<Self, BadKeySet> {
        let document: Document<'_> =
            serde_json::from_slice(document).map_err(|_| BadKeySet::NotAKeySet)?;
        if document.keys.len() > MAX_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let mut keys: Vec<Arc<VerificationKey>> = Vec::new();
        let mut private = 0;
        for json in document.keys {
            match VerificationKey::from_jwk(json.get(), allowed) {
                Ok(key) if keys.iter().any(|known| known.is_same(&key)) => {}
                Ok(key) => {
                    let known = previous.iter().flat_map(|set| &set.keys);
                    let known = known.into_iter().find(|known| known.is_same(&key)).cloned();
                    keys.push(known.unwrap_or_else(|| Arc::new(key)));
                }
                Err(UnusableKey::Private) => private += 1,
                Err(reason) => tracing::debug!(%reason, "a key of the set is not used"),
            }
        }
        match (keys.is_empty(), private) {
            (true, 0) => Err(BadKeySet::Empty),
            (true, _) => Err(BadKeySet::Private),
            (false, _) => Ok(Self { keys, private }),
        }
    }

    /// Reads a key set from a file. Blocks: not for async code.
    ///
    /// # Errors
    /// When it cannot be read, is none, or nothing in it can be used.
    pub fn read_file(path: &Path, allowed: &[Algorithm]) -> Result<Self, String> {
        let document = Self::document(path)?;
        Self::parse(&document, allowed, None)
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// A file's content, up to a limit. Blocks: not for async code.
    pub(super) fn document(path: &Path) -> Result<Vec<u8>, String> {
        let fail = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
        let mut document = Vec::new();
        #[allow(clippy::disallowed_methods, reason = "called at load and from blocking tasks")]
        let file = File::open(path).map_err(|error| fail(&error))?;
        file.take(MAX_FILE + 1).read_to_end(&mut document).map_err(|error| fail(&error))?;
        let is_small = document.len() as u64 <= MAX_FILE;
        if is_small { Ok(document) } else { Err(fail(&"it is larger than 256 KiB")) }
    }

    /// The one key that may have signed a token with this header.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Arc<VerificationKey>, NoKey> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.fits(algorithm) && kid.is_none_or(|kid| key.kid() == Some(kid)));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(NoKey::Ambiguous),
            (None, _) if kid.is_some() && self.keys.iter().any(|key| key.kid() == kid) => {
                Err(NoKey::Unfit)
            }
            (None, _) => Err(NoKey::Unknown),
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many keys were left out because their secret part is public.
    #[must_use]
    pub fn private(&self) -> usize {
        self.private
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Retires every key that `newer` has no longer.
    pub(super) fn retire_all_but(&self, newer: &Self) {
        for key in &self.keys {
            if !newer.keys.iter().any(|kept| Arc::ptr_eq(kept, key)) {
                key.retire();
            }
        }
    }
}

const MAX_KEYS: usize = 256;
const MAX_FILE: u64 = 256 * 1024;
