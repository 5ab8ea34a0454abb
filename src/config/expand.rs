//! `${VAR}` and `${VAR:-fallback}` inside scalars.
//!
//! Part of `config`, between parsing and checking. Keys are never expanded; `$$` is a dollar sign.

use super::problem::Problem;
use super::tree::{Node, Value};

/// Looks up a variable of the environment; tests pass their own.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands every scalar below `node`, reporting variables that are not set.
pub(super) fn expand(node: &mut Node, path: &str, lookup: Lookup<'_>, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                expand(item, &format!("{path}[{index}]"), lookup, problems);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let path = super::child(path, &entry.key);
                expand(&mut entry.node, &path, lookup, problems);
            }
        }
        Value::Scalar { text, .. } if text.contains('$') => match expand_text(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err((what, hint)) => problems.push(Problem {
                position: node.position,
                path: path.to_owned(),
                what,
                hint,
            }),
        },
        Value::Null | Value::Scalar { .. } => {}
    }
}

fn expand_text(text: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        expanded.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let Some(end) = after.find('}') else {
                return Err((
                    "`${` without a closing `}`".into(),
                    "write `$$` for a dollar".into(),
                ));
            };
            expanded.push_str(&variable(&after[..end], lookup)?);
            rest = &after[end + 1..];
        } else {
            expanded.push('$');
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn variable(inside: &str, lookup: Lookup<'_>) -> Result<String, (String, String)> {
    let (name, fallback) = match inside.split_once(":-") {
        Some((name, fallback)) => (name, Some(fallback)),
        None => (inside, None),
    };
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !valid {
        return Err((
            // Not repeated: it may be part of a secret that holds a dollar sign.
            "`${…}` without the name of a variable".into(),
            "letters, digits and `_`, a fallback after `:-`; write `$$` for a dollar sign".into(),
        ));
    }
    // Like the shell's `:-`, an empty variable counts as unset when there is a fallback.
    match (lookup(name), fallback) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(fallback)) => Ok(fallback.to_owned()),
        (None, None) => Err((
            format!("the environment variable {name} is not set"),
            format!("set it, or give a fallback: ${{{name}:-value}}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, (String, String)> {
        expand_text(text, &|name| match name {
            "SET" => Some("value".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn expands_variables_fallbacks_and_dollars() {
        for (text, expected) in [
            ("a-${SET}-b", "a-value-b"),
            ("${UNSET:-x:-y}", "x:-y"),
            ("${EMPTY:-x}", "x"),
            ("${EMPTY}", ""),
            ("$$${SET}$", "$value$"),
            ("$SET", "$SET"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn names_what_is_missing_or_malformed() {
        for text in ["${UNSET}", "${", "${}", "${a b}"] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }
}
