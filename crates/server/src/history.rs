//! History: the configurations that were in force, as many as are remembered.

use foregate_config::{Written, WrittenFile};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What put a configuration in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// The start of the process.
    Start,
    /// The signal HUP.
    Signal,
    /// The admin API was asked to read the file again.
    Reload,
    /// It came over the admin API.
    Apply,
    /// The admin API was asked for an older one.
    Rollback,
    /// The one after it was not confirmed.
    Expiry,
}

impl Cause {
    const ALL: [Cause; 6] = [
        Cause::Start,
        Cause::Signal,
        Cause::Reload,
        Cause::Apply,
        Cause::Rollback,
        Cause::Expiry,
    ];

    /// The stable name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Signal => "signal",
            Cause::Reload => "reload",
            Cause::Apply => "apply",
            Cause::Rollback => "rollback",
            Cause::Expiry => "expiry",
        }
    }

    /// Whether it was not the configuration file that was read.
    pub(crate) fn is_applied(self) -> bool {
        matches!(self, Cause::Apply | Cause::Rollback | Cause::Expiry)
    }
}

/// A configuration that was in force.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Version {
    /// Its number: never given twice.
    pub(crate) id: u64,
    pub(crate) unix: u64,
    pub(crate) cause: Cause,
    pub(crate) note: Option<String>,
    /// Where it came from.
    pub(crate) from: String,
    pub(crate) written: Arc<Written>,
    pub(crate) summary: String,
    pub(crate) changes: Vec<String>,
    /// Against the one before it.
    pub(crate) diff: Arc<Diff>,
    /// What the configuration file was like when this came into force.
    pub(crate) file_mark: Option<String>,
    /// Whether it was taken back, since nobody confirmed it.
    pub(crate) taken_back: bool,
}

/// How a version differs from the one before it, line by line, without secrets. It is found out when it is first asked
/// for: with thousands of routes that takes as long as half of the rest of a reload.
#[derive(Default, Debug)]
pub(crate) struct Diff {
    text: OnceLock<String>,
    /// What is compared, the older one first, until it is.
    between: Mutex<Option<(Arc<Written>, Arc<Written>)>>,
}

impl Diff {
    /// Between an older one and a newer one.
    pub(crate) fn between(older: &Arc<Written>, newer: &Arc<Written>) -> Diff {
        Diff {
            text: OnceLock::new(),
            between: Mutex::new(Some((Arc::clone(older), Arc::clone(newer)))),
        }
    }

    /// As it was found out before.
    fn known(text: String) -> Diff {
        Diff {
            text: text.into(),
            between: Mutex::default(),
        }
    }

    /// The text; empty where both are the same, and where there was none before.
    pub(crate) fn text(&self) -> &str {
        self.text.get_or_init(|| {
            let mut between = self.between.lock().unwrap_or_else(PoisonError::into_inner);
            let pair = between.take();
            pair.map_or_else(String::new, |(older, newer)| newer.diff(&older))
        })
    }

    /// Of the text, as far as it is found out.
    fn bytes(&self) -> usize {
        self.text.get().map_or(0, String::len)
    }
}

impl PartialEq for Diff {
    fn eq(&self, other: &Diff) -> bool {
        self.text() == other.text()
    }
}

impl Version {
    fn bytes(&self) -> usize {
        let changes: usize = self.changes.iter().map(String::len).sum();
        self.written.bytes() + self.diff.bytes() + changes
    }

    fn to_json(&self) -> Value {
        let files = self.written.files.iter();
        let files: Vec<Value> = files
            .map(|file| json!({ "name": file.name, "text": file.text }))
            .collect();
        json!({
            "id": self.id,
            "unix": self.unix,
            "cause": self.cause.name(),
            "note": self.note,
            "from": self.from,
            "files": files,
            "summary": self.summary,
            "changes": self.changes,
            "diff": self.diff.text(),
            "file_mark": self.file_mark,
            "taken_back": self.taken_back,
        })
    }

    fn from_json(value: &Value) -> Option<Version> {
        let text = |key: &str| Some(value[key].as_str()?.to_owned());
        let file = |file: &Value| {
            Some(WrittenFile {
                name: file["name"].as_str()?.to_owned(),
                text: file["text"].as_str()?.to_owned(),
            })
        };
        let files = value["files"].as_array()?.iter().map(file);
        let changes = value["changes"].as_array()?.iter();
        let cause = value["cause"].as_str()?;
        Some(Version {
            id: value["id"].as_u64()?,
            unix: value["unix"].as_u64()?,
            cause: Cause::ALL.into_iter().find(|one| one.name() == cause)?,
            note: text("note"),
            from: text("from")?,
            written: Arc::new(Written {
                files: files.collect::<Option<_>>()?,
            }),
            summary: text("summary")?,
            changes: changes
                .map(|line| Some(line.as_str()?.to_owned()))
                .collect::<Option<_>>()?,
            diff: Arc::new(Diff::known(text("diff")?)),
            file_mark: text("file_mark"),
            // Older programs did not tell.
            taken_back: value["taken_back"].as_bool().unwrap_or(false),
        })
    }
}

/// The configurations that are remembered. The last one is in force.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct History {
    versions: VecDeque<Arc<Version>>,
    /// What the one in force gives way to unless it is confirmed: it is not forgotten.
    held: Option<u64>,
    next_id: u64,
    versions_max: usize,
    bytes_max: usize,
}

impl History {
    pub(crate) fn new(versions_max: usize, bytes_max: usize) -> History {
        History {
            versions: VecDeque::new(),
            held: None,
            next_id: 1,
            versions_max,
            bytes_max,
        }
    }

    /// The one in force; there is none before the first.
    pub(crate) fn last(&self) -> Option<&Arc<Version>> {
        self.versions.back()
    }

    pub(crate) fn get(&self, id: u64) -> Option<&Arc<Version>> {
        self.versions.iter().find(|version| version.id == id)
    }

    /// The last one before the one in force that was another, and was not taken back.
    pub(crate) fn previous(&self) -> Option<&Arc<Version>> {
        let last = self.last()?;
        let is_another =
            |one: &&Arc<Version>| !one.taken_back && !one.written.says_the_same_as(&last.written);
        self.versions.iter().rev().find(is_another)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().map(Arc::as_ref)
    }

    /// Has one be remembered, however many there are, until none or another is.
    pub(crate) fn hold(&mut self, id: Option<u64>) {
        self.held = id;
        self.shrink();
    }

    /// Notes that nobody confirmed one, and that it is in force no more.
    pub(crate) fn taken_back(&mut self, id: u64) {
        let mut versions = self.versions.iter_mut();
        if let Some(version) = versions.find(|version| version.id == id) {
            Arc::make_mut(version).taken_back = true;
        }
    }

    /// Takes one up, under a new number.
    pub(crate) fn push(&mut self, mut version: Version) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        version.id = id;
        self.versions.push_back(Arc::new(version));
        self.shrink();
        id
    }

    /// Remembers so many at most from now on.
    pub(crate) fn set_limits(&mut self, versions_max: usize, bytes_max: usize) {
        (self.versions_max, self.bytes_max) = (versions_max, bytes_max);
        self.shrink();
    }

    /// Forgets what there is no room for.
    pub(crate) fn shrink(&mut self) {
        let mut bytes: usize = self.iter().map(Version::bytes).sum();
        while self.versions.len() > self.versions_max || bytes > self.bytes_max {
            let in_force = self.versions.len().saturating_sub(1);
            let mut older = self.versions.iter().take(in_force);
            let Some(oldest) = older.position(|one| Some(one.id) != self.held) else {
                return;
            };
            let gone = self.versions.remove(oldest);
            bytes -= gone.map_or(0, |gone| gone.bytes());
        }
    }

    /// As it is written to a file; without one that may not stay.
    pub(crate) fn to_json(&self, unconfirmed: Option<u64>) -> Value {
        let stay = |version: &&Arc<Version>| unconfirmed != Some(version.id);
        let versions = self.versions.iter().filter(stay);
        json!({
            "next_id": self.next_id,
            "versions": versions.map(|one| one.to_json()).collect::<Vec<_>>(),
        })
    }

    /// As it was written to a file.
    pub(crate) fn from_json(value: &Value) -> Option<History> {
        let versions = value["versions"].as_array()?.iter();
        let read = |value| Version::from_json(value).map(Arc::new);
        let versions: VecDeque<Arc<Version>> = versions.map(read).collect::<Option<_>>()?;
        let newest = versions.iter().map(|version| version.id).max();
        Some(History {
            versions,
            held: None,
            next_id: value["next_id"]
                .as_u64()?
                .max(newest.map_or(1, |id| id.saturating_add(1))),
            versions_max: usize::MAX,
            bytes_max: usize::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version {
            id: 0,
            unix: 5,
            cause: Cause::Apply,
            note: Some("why".into()),
            from: "a.toml".into(),
            written: Arc::new(Written {
                files: vec![WrittenFile {
                    name: "a.toml".into(),
                    text: text.into(),
                }],
            }),
            summary: "1 route added".into(),
            changes: vec!["route added: a/b".into()],
            diff: Arc::default(),
            file_mark: None,
            taken_back: false,
        }
    }

    fn ids(history: &History) -> Vec<u64> {
        history.iter().map(|version| version.id).collect()
    }

    #[test]
    fn the_oldest_are_forgotten_and_numbers_are_never_given_twice() {
        let mut history = History::new(2, 1 << 20);
        for text in ["1", "2", "3"] {
            history.push(version(text));
        }
        assert_eq!(ids(&history), [2, 3]);
        assert_eq!(history.previous().map(|one| one.id), Some(2));
        assert!(history.get(1).is_none());
        history.set_limits(1, 1 << 20);
        assert_eq!(history.push(version("4")), 4);
        assert_eq!(ids(&history), [4]);
    }

    #[test]
    fn bytes_are_bounded_but_for_the_one_in_force() {
        let mut history = History::new(10, 100);
        history.push(version(&"x".repeat(40)));
        history.push(version(&"y".repeat(40)));
        assert_eq!(ids(&history), [2], "the texts are not all there is of them");
        history.push(version(&"z".repeat(500)));
        assert_eq!(ids(&history), [3]);
    }

    #[test]
    fn what_was_taken_back_and_what_says_the_same_is_no_way_back() {
        let mut history = History::new(10, 1 << 20);
        for text in ["good", "bad", "good"] {
            history.push(version(text));
        }
        history.taken_back(2);
        assert_eq!(history.previous(), None, "there never was another good one");
        history.push(version("better"));
        assert_eq!(history.previous().map(|one| one.id), Some(3));
        let read = History::from_json(&history.to_json(None)).unwrap();
        assert!(read.get(2).unwrap().taken_back);
    }

    #[test]
    fn what_comes_back_unless_another_is_confirmed_is_not_forgotten() {
        for (versions_max, bytes_max) in [(1, 1 << 20), (10, 10)] {
            let mut history = History::new(versions_max, bytes_max);
            history.push(version("1"));
            let good = history.push(version("2"));
            history.hold(Some(good));
            history.push(version("3"));
            assert_eq!(ids(&history), [2, 3]);
            history.push(version("2"));
            assert_eq!(ids(&history), [2, 4]);
            history.hold(None);
            assert_eq!(ids(&history), [4]);
        }
    }

    #[test]
    fn a_history_survives_its_file_without_what_was_not_confirmed() {
        let mut history = History::new(10, 1 << 20);
        history.push(version("1"));
        history.push(version("2"));
        let text = history.to_json(Some(2)).to_string();
        let mut read = History::from_json(&serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(ids(&read), [1]);
        assert_eq!(read.last(), history.get(1));
        assert_eq!(read.push(version("3")), 3);
        for broken in ["[]", "{}", r#"{"next_id":1,"versions":[{}]}"#] {
            let value: Value = serde_json::from_str(broken).unwrap();
            assert!(History::from_json(&value).is_none(), "{broken}");
        }
    }
}
