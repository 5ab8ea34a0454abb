//! Forms for the authority: what is asked, then the credential's additions.
//!
//! Part of `authority`. Values may be tokens and secrets, so they are wiped when dropped and never print.

use std::fmt;

use zeroize::Zeroize as _;

/// Form fields, in the order they are sent.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Adds a field.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[(String, String)] {
        &self.0
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Form {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(fields: T) -> Self {
        let mut form = Self::default();
        fields.into_iter().for_each(|(name, value)| form.push(name, value));
        form
    }
}

impl Drop for Form {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, value)| value.zeroize());
    }
}

impl fmt::Debug for Form {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// A form under construction: what is asked, then the credential's additions.
pub(super) struct FormRequest {
    pub(super) client_id: String,
    pub(super) form: Form,
    pub(super) authorization: Option<http::HeaderValue>,
}

impl FormRequest {
    /// A form in the name of `client_id`, not yet authenticated.
    #[must_use]
    pub(super) fn new(client_id: &str, form: Form) -> Self {
        Self { client_id: client_id.to_owned(), form, authorization: None }
    }
}

impl fmt::Debug for FormRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormRequest").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}
