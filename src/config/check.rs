//! Checks a parsed document against the schema and gives its values their types.
//!
//! Part of `config`, after `expand` and before the mirror structs. serde alone would stop at the
//! first mistake and forget the key it was at; walking the schema generated from the very same
//! types reports every mistake with its position, and says which key was probably meant.

use serde_json::{Map, Value as Json};

use super::problem::{Position, Problem};
use super::tree::{Entry, Node, Value};
use super::units::{DateYaml, DurationYaml, SizeYaml};

/// The document as typed JSON, or everything that is wrong with its shape.
pub(super) fn check(root: &Node, schema: &Json) -> Result<Json, Vec<Problem>> {
    let mut checker = Checker { schema, problems: Vec::new() };
    let typed = checker.value(root, schema, "");
    if checker.problems.is_empty() { Ok(typed) } else { Err(checker.problems) }
}

struct Checker<'a> {
    schema: &'a Json,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn value(&mut self, node: &Node, schema: &'a Json, path: &str) -> Json {
        let schema = self.resolve(schema);
        let variants = self.variants(schema);
        match &node.value {
            Value::Null if variants.iter().any(|v| has_type(v, "null")) => Json::Null,
            Value::Null => self.mismatch(node, &variants, path, "nothing"),
            Value::List(items) => match variants.iter().find(|v| has_type(v, "array")) {
                Some(list) => self.list(items, list, path),
                None => self.mismatch(node, &variants, path, "a list"),
            },
            Value::Map(entries) => self.map(node, entries, &variants, path),
            Value::Scalar { text, plain } => match scalar(text, *plain, &variants) {
                Some(Ok(typed)) => typed,
                Some(Err(what)) => self.problem(node.position, path, what, String::new()),
                None => self.scalar_mismatch(node, text, &variants, path),
            },
        }
    }

    fn list(&mut self, items: &[Node], schema: &'a Json, path: &str) -> Json {
        let items = items.iter().enumerate();
        let item_schema = &schema["items"];
        items.map(|(i, item)| self.value(item, item_schema, &format!("{path}[{i}]"))).collect()
    }

    /// A mapping: a struct, a free-form map, or an enum written as `variant: content`.
    fn map(&mut self, node: &Node, entries: &[Entry], variants: &[&'a Json], path: &str) -> Json {
        let objects: Vec<_> = variants.iter().copied().filter(|v| has_type(v, "object")).collect();
        let tagged = objects.len() > 1 || objects.iter().any(|v| is_tagged_variant(v, variants));
        match objects.as_slice() {
            [] => self.mismatch(node, variants, path, "a mapping"),
            [object] if !tagged => self.object(node, entries, object, path),
            _ => self.tagged(node, entries, &objects, path),
        }
    }

    fn tagged(&mut self, node: &Node, entries: &[Entry], objects: &[&'a Json], path: &str) -> Json {
        let names: Vec<&str> = objects.iter().flat_map(|o| keys(o)).collect();
        let [entry] = entries else {
            let what = format!("expected exactly one of {}", names.join(", "));
            let position = entries.get(1).map_or(node.position, |second| second.position);
            return self.problem(position, path, what, String::new());
        };
        match objects.iter().find(|o| o["properties"].get(&entry.key).is_some()) {
            Some(object) => self.object(node, entries, object, path),
            None => self.unknown(entry, &names, path),
        }
    }

    fn object(&mut self, node: &Node, entries: &[Entry], schema: &'a Json, path: &str) -> Json {
        let mut typed = Map::new();
        for entry in entries {
            let inner = super::child(path, &entry.key);
            let known = schema["properties"].get(&entry.key);
            let schema_of_value = known.or_else(|| schema.get("additionalProperties"));
            // A key with nothing after it is as good as left out, unless it is needed.
            let required = schema["required"]
                .as_array()
                .is_some_and(|r| r.contains(&entry.key.as_str().into()));
            if matches!(entry.node.value, Value::Null) && known.is_some() && !required {
                if known.is_some_and(|schema| self.is_optional(schema)) {
                    // Left out it means less than written: `authenticate:` alone must not open a route.
                    let what = format!("nothing is written after `{}`", entry.key);
                    self.problem(
                        entry.position,
                        &inner,
                        what,
                        "fill it in, or take the key out".into(),
                    );
                }
                continue;
            }
            match schema_of_value.filter(|schema| schema.is_object()) {
                Some(inner_schema) => {
                    let value = self.value(&entry.node, inner_schema, &inner);
                    typed.insert(entry.key.clone(), value);
                }
                None => {
                    self.unknown(entry, &keys(schema).collect::<Vec<_>>(), path);
                }
            }
        }
        for required in schema["required"].as_array().into_iter().flatten() {
            let key = required.as_str().unwrap_or_default();
            if !entries.iter().any(|entry| entry.key == key) {
                let hint = schema["properties"][key]["description"].as_str().unwrap_or_default();
                let what = format!("`{key}` is missing");
                self.problem(node.position, path, what, hint.to_owned());
            }
        }
        Json::Object(typed)
    }

    /// Whether leaving a key out has a meaning of its own, other than its default.
    fn is_optional(&self, schema: &'a Json) -> bool {
        let schema = self.resolve(schema);
        has_type(schema, "null") || self.variants(schema).iter().any(|v| has_type(v, "null"))
    }

    fn scalar_mismatch(
        &mut self,
        node: &Node,
        text: &str,
        variants: &[&'a Json],
        path: &str,
    ) -> Json {
        // The text is not repeated here: it may be a secret in the wrong place.
        if variants.iter().any(|v| v["properties"].get("danger_inline").is_some()) {
            let hint = "write { file: PATH } or { env: NAME }; `danger_inline:` if it must be";
            let what = "a secret must be a reference, not the secret itself".to_owned();
            return self.problem(node.position, path, what, hint.to_owned());
        }
        let allowed: Vec<&str> = variants.iter().flat_map(|v| constants(v)).collect();
        let symmetric = allowed.contains(&"RS256") && text.to_ascii_uppercase().starts_with("HS");
        let is_list = variants.iter().any(|v| has_type(v, "array"));
        let hint = if is_list && allowed.is_empty() {
            "in brackets, also for one: [a]".to_owned()
        } else if symmetric {
            "never accepted: whoever can verify such a token can sign one".to_owned()
        } else {
            suggestion(text, &allowed)
        };
        let what = format!("expected {}", expected(variants));
        self.problem(node.position, path, what, hint)
    }

    fn mismatch(&mut self, node: &Node, variants: &[&'a Json], path: &str, found: &str) -> Json {
        let what = format!("expected {}, found {found}", expected(variants));
        self.problem(node.position, path, what, String::new())
    }

    fn unknown(&mut self, entry: &Entry, known: &[&str], path: &str) -> Json {
        let what = if known.contains(&"danger_inline") {
            "unknown key, not repeated here: it may be the secret".to_owned()
        } else {
            format!("unknown key `{}`", entry.key)
        };
        self.problem(entry.position, path, what, suggestion(&entry.key, known))
    }

    fn problem(&mut self, position: Position, path: &str, what: String, hint: String) -> Json {
        self.problems.push(Problem { position, path: path.to_owned(), what, hint });
        Json::Null
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.resolve(self.schema.pointer(pointer).unwrap_or(schema)),
            None => schema,
        }
    }

    /// The alternatives of a choice, flattened; a schema that is no choice is its own alternative.
    fn variants(&self, schema: &'a Json) -> Vec<&'a Json> {
        let choices = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
        match choices {
            Some(choices) => choices.iter().flat_map(|c| self.variants(self.resolve(c))).collect(),
            None => vec![schema],
        }
    }
}

/// The scalar with its type; `None` when no variant takes a scalar like it.
fn scalar(text: &str, plain: bool, variants: &[&Json]) -> Option<Result<Json, String>> {
    if let Some(constant) = variants.iter().flat_map(|v| constants(v)).find(|c| *c == text) {
        return Some(Ok(constant.into()));
    }
    if plain
        && variants.iter().any(|v| has_type(v, "boolean"))
        && let Ok(flag) = text.parse::<bool>()
    {
        return Some(Ok(flag.into()));
    }
    if let Some(number) = variants.iter().find(|v| has_type(v, "integer"))
        && let Ok(value) = text.parse::<u64>()
    {
        let maximum = maximum(number);
        let too_much = || format!("{value} is more than {maximum}");
        return Some(if value <= maximum { Ok(value.into()) } else { Err(too_much()) });
    }
    let free = variants.iter().find(|v| has_type(v, "string") && constants(v).is_empty())?;
    Some(match free["format"].as_str() {
        Some("vicar-duration") => DurationYaml::try_from(text.to_owned()).map(|_| text.into()),
        Some("vicar-date") => DateYaml::try_from(text.to_owned()).map(|_| text.into()),
        Some("vicar-size") => SizeYaml::try_from(text.to_owned()).map(|_| text.into()),
        _ => Ok(text.into()),
    })
}

fn has_type(schema: &Json, name: &str) -> bool {
    match &schema["type"] {
        Json::String(only) => only == name,
        Json::Array(several) => several.iter().any(|one| one == name),
        _ => false,
    }
}

/// Whether this object is one variant of an enum, `{ variant: content }`, beside other variants.
fn is_tagged_variant(schema: &Json, variants: &[&Json]) -> bool {
    let tagged = variants.iter().any(|v| !constants(v).is_empty());
    tagged && schema["required"].as_array().is_some_and(|r| r.len() == 1)
}

fn constants(schema: &Json) -> Vec<&str> {
    let listed = schema["enum"].as_array().into_iter().flatten();
    listed.chain(schema.get("const")).filter_map(Json::as_str).collect()
}

fn keys(schema: &Json) -> impl Iterator<Item = &str> {
    schema["properties"].as_object().into_iter().flat_map(|p| p.keys().map(String::as_str))
}

fn maximum(schema: &Json) -> u64 {
    schema["maximum"].as_u64().unwrap_or(match schema["format"].as_str() {
        Some("uint8") => u8::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        Some("uint32") => u32::MAX.into(),
        _ => u64::MAX,
    })
}

fn expected(variants: &[&Json]) -> String {
    let mut words: Vec<String> = Vec::new();
    let choices = variants.iter().filter(|variant| is_tagged_variant(variant, variants));
    let choices: Vec<&str> = choices.flat_map(|variant| keys(variant)).collect();
    if choices.len() > 2 {
        words.push(format!("a mapping (one of {})", choices.join(", ")));
    }
    for variant in variants {
        let constants = constants(variant);
        if !constants.is_empty() {
            words.extend(constants.into_iter().map(str::to_owned));
        } else if choices.len() > 2 && is_tagged_variant(variant, variants) {
            // Named together, above.
        } else if has_type(variant, "object") && variant["properties"].is_object() {
            words.push(format!("a mapping ({})", keys(variant).collect::<Vec<_>>().join(", ")));
        } else if !has_type(variant, "null") || variants.len() == 1 {
            let name = match variant["type"].as_str() {
                Some("integer") => "a whole number",
                Some("boolean") => "true or false",
                Some("array") => "a list",
                Some("object") => "a mapping",
                _ => "text",
            };
            words.push(name.to_owned());
        }
    }
    words.join(" or ")
}

/// "did you mean …", or what there is to choose from.
pub(super) fn suggestion(given: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4);
    match near {
        Some((_, name)) => format!("did you mean `{name}`?"),
        None if known.is_empty() => String::new(),
        None => format!("known here: {}", known.join(", ")),
    }
}
