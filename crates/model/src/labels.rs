//! The names of a model's classes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

/// Why class names could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// The file could not be read, or is not UTF-8.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file begins as JSON does, and is not JSON.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// The file is JSON, and not of names.
    #[error("{path}: neither a list of names nor an object of names by class number from 0")]
    NotNames {
        /// The file.
        path: PathBuf,
    },
    /// A line is blank, with names after it.
    #[error("{path}: line {line} is blank")]
    Blank {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There are more or fewer names than classes.
    #[error("{path}: {found} names for {classes} classes")]
    Count {
        /// The file.
        path: PathBuf,
        /// The names in the file.
        found: usize,
        /// The model's classes.
        classes: usize,
    },
}

/// Reads one name for each of `classes` classes: a text file with a name on each line, a JSON list
/// of names, or a JSON object of names by class number (`{"0": "tench", ...}`). Blanks around the
/// names on lines and blank lines at the end are ignored.
///
/// # Errors
/// The file cannot be read or understood, or has another number of names.
pub fn read(path: impl AsRef<Path>, classes: usize) -> Result<Vec<String>, LabelsError> {
    let path = path.as_ref();
    let text =
        fs::read_to_string(path).map_err(|source| LabelsError::Io { path: path.into(), source })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let names = if text.trim_start().starts_with(['[', '{']) {
        let value = serde_json::from_str(text)
            .map_err(|source| LabelsError::Json { path: path.into(), source })?;
        from_json(&value).ok_or_else(|| LabelsError::NotNames { path: path.into() })?
    } else {
        let names: Vec<_> = text.trim_end().lines().map(|line| line.trim().to_owned()).collect();
        if let Some(blank) = names.iter().position(String::is_empty) {
            return Err(LabelsError::Blank { path: path.into(), line: blank + 1 });
        }
        names
    };
    if names.len() != classes {
        return Err(LabelsError::Count { path: path.into(), found: names.len(), classes });
    }
    Ok(names)
}

/// Names from a list, or from an object whose keys are the class numbers.
pub(crate) fn from_json(value: &Value) -> Option<Vec<String>> {
    let name = |value: &Value| value.as_str().map(str::to_owned);
    match value {
        Value::Array(names) => names.iter().map(name).collect(),
        Value::Object(names) => {
            (0..names.len()).map(|class| names.get(&class.to_string()).and_then(name)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(bytes: &[u8], classes: usize) -> Result<Vec<String>, LabelsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("labels");
        fs::write(&path, bytes).unwrap();
        read(&path, classes)
    }

    #[test]
    fn every_form() {
        let forms = [
            "tench\ngreat white shark\nlà-bas\n",
            "\u{feff}tench\r\ngreat white shark \r\nlà-bas\r\n\r\n\n",
            "tench\ngreat white shark\nlà-bas",
            "[\"tench\", \"great white shark\", \"là-bas\"]",
            " \n{\"2\": \"là-bas\", \"0\": \"tench\", \"1\": \"great white shark\"}",
        ];
        for form in forms {
            let names = labels(form.as_bytes(), 3).unwrap();
            assert_eq!(names, ["tench", "great white shark", "là-bas"], "{form}");
        }
        assert!(labels(b"", 0).unwrap().is_empty());
    }

    #[test]
    fn what_is_refused() {
        use LabelsError::*;
        let error = |text: &str| labels(text.as_bytes(), 3).unwrap_err();
        assert!(matches!(error("a\nb\n"), Count { found: 2, classes: 3, .. }));
        assert!(matches!(error("[\"a\"]"), Count { found: 1, classes: 3, .. }));
        assert!(matches!(error(""), Count { found: 0, classes: 3, .. }));
        assert!(matches!(error("a\n\nb\n"), Blank { line: 2, .. }));
        assert!(matches!(error("\nb\n"), Blank { line: 1, .. }));
        assert!(matches!(error("[\"a\", "), Json { .. }));
        assert!(matches!(error("[\"a\", 1, \"b\"]"), NotNames { .. }));
        assert!(matches!(error("{\"0\": \"a\", \"1\": \"b\", \"3\": \"c\"}"), NotNames { .. }));
        assert!(matches!(labels(b"\xff\xfe", 1).unwrap_err(), Io { .. }));
        assert!(matches!(read("absent", 3).unwrap_err(), Io { .. }));
    }
}
