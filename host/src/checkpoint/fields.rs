//! Fields of a JSON object, checked.

use std::path::Path;

use serde_json::{Map, Value};

use super::error::CheckpointError;
use super::{Result, file};

/// An object of a JSON file, and its place there.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    path: &'a Path,
    /// `rope_scaling.` for the fields of `rope_scaling`.
    prefix: &'a str,
    object: &'a Map<String, Value>,
}

/// The JSON in a file.
pub fn parse(path: &Path) -> Result<Value> {
    let text = file::read(path)?;
    serde_json::from_slice(&text)
        .map_err(|reason| CheckpointError::Json { path: path.to_owned(), reason })
}

impl<'a> Fields<'a> {
    /// The fields of a file's outermost object.
    pub fn new(path: &'a Path, value: &'a Value) -> Result<Self> {
        match value {
            Value::Object(object) => Ok(Self { path, prefix: "", object }),
            _ => Err(CheckpointError::Field {
                path: path.to_owned(),
                field: "(root)".to_owned(),
                expected: "an object".to_owned(),
                found: value.to_string(),
            }),
        }
    }

    /// The fields of the object that is a field, if it is there and not null.
    pub fn inner(&self, name: &str, prefix: &'a str) -> Result<Option<Self>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Self { prefix, object, ..*self })),
            Some(_) => Err(self.must_be(name, "an object or null")),
        }
    }

    /// A field, unless it is missing or null.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Names of all fields.
    pub fn names(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.object.keys()
    }

    /// A count.
    pub fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| self.must_be(name, SIZE))
    }

    /// A count, or null.
    pub fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let size = value.as_u64().filter(|size| (1..=i32::MAX as u64).contains(size));
        size.map(|size| Some(size as usize)).ok_or_else(|| self.must_be(name, SIZE))
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<f64> {
        self.get(name).and_then(Value::as_f64).ok_or_else(|| self.must_be(name, "a number"))
    }

    /// A number, or `default` where there is none.
    pub fn number_or(&self, name: &str, default: f64) -> Result<f64> {
        if self.get(name).is_some() { self.number(name) } else { Ok(default) }
    }

    /// Refuses every value but `supported`; a missing one is fine.
    pub fn only(&self, name: &str, supported: &Value) -> Result<()> {
        match self.get(name) {
            Some(value) if value != supported => {
                Err(self.must_be(name, &format!("{supported} or missing")))
            }
            _ => Ok(()),
        }
    }

    /// The error of a field that is not what it must be.
    pub fn must_be(&self, name: &str, expected: &str) -> CheckpointError {
        match self.object.get(name) {
            Some(value) => self.wrong(name, expected, value),
            None => self.wrong(name, expected, "missing"),
        }
    }

    /// The same, with what was found in its place.
    pub fn wrong(&self, name: &str, expected: &str, found: impl ToString) -> CheckpointError {
        CheckpointError::Field {
            path: self.path.to_owned(),
            field: format!("{}{name}", self.prefix),
            expected: expected.to_owned(),
            found: found.to_string(),
        }
    }
}

const SIZE: &str = "a whole number from 1 on";
