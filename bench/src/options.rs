//! Command lines of the bench programs: `--name value` pairs, nothing else.

use std::collections::BTreeMap;
use std::str::FromStr;

/// The options given, each to be taken once.
#[derive(Debug, Default)]
pub struct Options {
    values: BTreeMap<String, Vec<String>>,
}

impl Options {
    /// Reads `--name value` and `--name=value` pairs.
    ///
    /// # Errors
    /// A word that is no option, or an option without a value.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("{word}: not an option"))?;
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => {
                    let value = words.next().ok_or_else(|| format!("--{name}: no value"))?;
                    (name.to_owned(), value)
                }
            };
            options.values.entry(name).or_default().push(value);
        }
        Ok(options)
    }

    /// Takes every value of a repeatable option, in order.
    pub fn all(&mut self, name: &str) -> Vec<String> {
        self.values.remove(name).unwrap_or_default()
    }

    /// Takes an option that may be absent.
    ///
    /// # Errors
    /// The value does not parse, or the option was given more than once.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let mut values = self.all(name);
        let Some(value) = values.pop() else {
            return Ok(None);
        };
        if !values.is_empty() {
            return Err(format!("--{name}: given twice"));
        }
        match value.parse() {
            Ok(parsed) => Ok(Some(parsed)),
            Err(_) => Err(format!("--{name} {value}: not understood")),
        }
    }

    /// Takes an option with a default.
    ///
    /// # Errors
    /// As [`Options::optional`].
    pub fn or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Ends the reading: whatever was not taken is unknown.
    ///
    /// # Errors
    /// The name of an unknown option.
    pub fn finish(self) -> Result<(), String> {
        match self.values.into_keys().next() {
            Some(name) => Err(format!("--{name}: unknown option")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_forms_and_repetition() {
        let mut given = options("--to a --to=b --rate 5").unwrap();
        assert_eq!(given.all("to"), ["a", "b"]);
        assert_eq!(given.or("rate", 0_u64), Ok(5));
        assert_eq!(given.or("count", 7_u64), Ok(7));
        assert_eq!(given.finish(), Ok(()));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(options("stray").is_err());
        assert!(options("--rate").is_err());
        let mut given = options("--rate x --twice 1 --twice 2 --odd 1").unwrap();
        assert!(given.or("rate", 0_u64).is_err());
        assert!(given.or("twice", 0_u64).is_err());
        assert_eq!(given.finish(), Err("--odd: unknown option".to_owned()));
    }
}
