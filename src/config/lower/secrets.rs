//! Secret references into [`SecretSource`]s, read once to say early what cannot be read.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Lowering;
use crate::config::schema::SecretRef;
use crate::secret::{ExposeSecret as _, SecretSource, SecretString};

impl Lowering<'_> {
    /// A source whose value could be read just now.
    pub(super) fn secret(&mut self, reference: SecretRef, path: &str) -> Option<SecretSource> {
        let source = match reference {
            SecretRef::File(file) => SecretSource::file(file),
            SecretRef::Env(name) => {
                let value = (self.lookup)(&name).filter(|value| !value.is_empty());
                let unset = format!("the environment variable {name} is not set or empty");
                fixed(format!("env {name}"), self.accept(path, value.ok_or(unset), "")?)
            }
            SecretRef::DangerInline(value) => fixed("danger_inline".to_owned(), value),
        };
        if matches!(&source, SecretSource::Fixed { value, .. } if value.expose_secret().is_empty())
        {
            self.problem(path, "an empty secret", "");
        }
        if !self.defers_files {
            let hint = "the file must exist and be readable by the user Vicar runs as";
            let readable = source.read().map(drop);
            self.accept(path, readable, hint)?;
        }
        self.warn_of_readers(source.path(), path);
        Some(source)
    }

    /// Every process of the machine can read such a file.
    pub(super) fn warn_of_readers(&mut self, file: Option<&Path>, path: &str) {
        let Some(file) = file else { return };
        let Ok(metadata) = std::fs::metadata(file) else { return };
        if metadata.permissions().mode() & READABLE_BY_ALL != 0 {
            let what = format!("{} can be read by every user", file.display());
            let hint = "chmod 0600, or in Kubernetes `defaultMode: 0400` of the volume";
            self.warning(path, what, hint);
        }
    }
}

const READABLE_BY_ALL: u32 = 0o004;

fn fixed(described: String, value: String) -> SecretSource {
    SecretSource::Fixed { described, value: SecretString::from(value) }
}
