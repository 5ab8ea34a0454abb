//! Secret references into [`SecretSource`]s, read once to say early what cannot be read.

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
        let hint = "the file must exist and be readable by the user Vicar runs as";
        let readable = source.read().map(drop);
        self.accept(path, readable, hint)?;
        Some(source)
    }
}

fn fixed(described: String, value: String) -> SecretSource {
    SecretSource::Fixed { described, value: SecretString::from(value) }
}
