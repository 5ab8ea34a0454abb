//! An error and its causes in one line that is safe to log.
//!
//! A leaf. Libraries put into their texts what a peer said: HTTP/2 lets it send bytes along with the end
//! of a connection, and a hostile one could send our own token back. Such texts are replaced by the
//! error code.

use std::error::Error;

/// `error` and what caused it, outermost first.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let text = |error: &(dyn Error + 'static)| match error.downcast_ref::<h2::Error>() {
        Some(h2) => match h2.reason() {
            Some(reason) => format!("HTTP/2 {reason:?}"),
            None => "HTTP/2 error".to_owned(),
        },
        None => error.to_string(),
    };
    chain(error).map(text).collect::<Vec<_>>().join(": ")
}

/// The cause of type `E` within `error`.
pub fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}
