//! Files of endpoints: JSON, or an address a line.

use super::answer::{Described, FoundEndpoint};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Files of a folder.
const FILES_MAX: usize = 1000;

/// What a file is known again by: inode, size, time of change with its nanoseconds.
type Signature = Vec<(PathBuf, u64, u64, i64, i64)>;

/// A file or folder as it is being watched.
pub(super) struct FileWatch {
    path: PathBuf,
    /// As it was when it was read last.
    read: Option<Signature>,
}

impl FileWatch {
    pub(super) fn new(path: PathBuf) -> FileWatch {
        FileWatch { path, read: None }
    }

    pub(super) async fn next(&mut self) -> Result<Vec<FoundEndpoint>, String> {
        let mut seen = self.look().await?;
        if self.read.is_some() {
            // Read once it has changed and then stands still: who writes in pieces is given time.
            while self.read.as_ref() == Some(&seen) {
                tokio::time::sleep(LOOK_INTERVAL).await;
                seen = self.look().await?;
            }
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let again = self.look().await?;
                if again == seen {
                    break;
                }
                seen = again;
            }
        }
        let files: Vec<PathBuf> = seen.iter().map(|(path, ..)| path.clone()).collect();
        // One that is broken is read again when it has changed, not before.
        self.read = Some(seen);
        aside(move || read_all(&files)).await?
    }

    async fn look(&self) -> Result<Signature, String> {
        let path = self.path.clone();
        let shown = self.path.display().to_string();
        let looked = aside(move || look(&path)).await?;
        looked.map_err(|error| format!("{shown} can't be read: {error}"))
    }
}

/// Disks may be slow: they are asked where nobody else waits.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| "looking at files came to nothing".to_owned())
}

/// The file, or those of the folder that are meant, in the order of their names.
fn look(path: &Path) -> io::Result<Signature> {
    let about = fs::metadata(path)?;
    if !about.is_dir() {
        return Ok(vec![signature(path.to_owned(), &about)]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let is_hidden = (path.file_name()).is_none_or(|name| name.as_encoded_bytes()[0] == b'.');
        if is_hidden {
            continue;
        }
        // What goes while it is looked at is not there.
        match fs::metadata(&path) {
            Ok(about) if about.is_file() => files.push(signature(path, &about)),
            _ => {}
        }
        if files.len() > FILES_MAX {
            let problem = format!("there are more than {FILES_MAX} files");
            return Err(io::Error::other(problem));
        }
    }
    files.sort();
    Ok(files)
}

fn signature(path: PathBuf, about: &Metadata) -> (PathBuf, u64, u64, i64, i64) {
    (
        path,
        about.ino(),
        about.len(),
        about.mtime(),
        about.mtime_nsec(),
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "on a thread of the discovery's own that may wait"
)]
fn read_all(files: &[PathBuf]) -> Result<Vec<FoundEndpoint>, String> {
    let mut all = Vec::new();
    for path in files {
        let shown = path.display();
        let mut text = String::new();
        let opened = File::open(path).and_then(|file| {
            let mut bounded = file.take(FILE_BYTES_MAX + 1);
            bounded.read_to_string(&mut text)
        });
        opened.map_err(|error| format!("{shown} can't be read: {error}"))?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("{shown} is longer than {FILE_BYTES_MAX} bytes"));
        }
        all.extend(read(&text).map_err(|problem| format!("{shown}: {problem}"))?);
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|one: &FoundEndpoint| seen.insert(one.authority.clone()));
    Ok(all)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    List(Vec<One>),
    Table { endpoints: Vec<One> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum One {
    Address(String),
    Table(Written),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    address: String,
    weight: Option<u32>,
    #[serde(default)]
    backup: bool,
    zone: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The endpoints of a file's text. JSON is a list of addresses, or of tables with `address` and what a configuration's
/// `servers` know beside it; otherwise each line has an address and words behind it: `weight=3`, `zone=east`, `backup`,
/// `label.version=v2`; `#` begins a remark.
pub(super) fn read(text: &str) -> Result<Vec<FoundEndpoint>, String> {
    if text.trim_start().starts_with(['[', '{']) {
        let whole: Whole = serde_json::from_str(text).map_err(|error| match error.is_data() {
            true => {
                "it is neither a list of addresses, or of tables with `address`, `weight`, `backup`, `zone` and `labels`, \
                 nor a table with the list `endpoints`".into()
            }
            false => error.to_string(),
        })?;
        let (Whole::List(list) | Whole::Table { endpoints: list }) = whole;
        let each = list.into_iter().map(|one| match one {
            One::Address(address) => endpoint(&address, 1),
            One::Table(written) => table(&written),
        });
        return each.collect();
    }
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next() else {
            continue;
        };
        let one = line_of(address, words);
        found.push(one.map_err(|problem| format!("line {number}: {problem}"))?);
    }
    Ok(found)
}

fn table(written: &Written) -> Result<FoundEndpoint, String> {
    let mut said = Described::new(written.backup);
    if let Some(zone) = &written.zone {
        said.zone(zone)?;
    }
    for (name, value) in &written.labels {
        said.label(name, value)?;
    }
    let endpoint = endpoint(&written.address, written.weight.unwrap_or(1))?;
    Ok(endpoint.described(said))
}

/// The words behind an address. The first may be a weight alone.
fn line_of<'l>(
    address: &str,
    words: impl Iterator<Item = &'l str>,
) -> Result<FoundEndpoint, String> {
    let mut said = Described::default();
    let mut weight = 1;
    for (number, word) in words.enumerate() {
        let unknown = || {
            let word = word.escape_debug();
            format!("`{word}` is none of `weight=3`, `zone=east`, `backup`, `label.version=v2`")
        };
        match word.split_once('=') {
            None if word == "backup" => said.backup(true),
            None if number == 0 => weight = word.parse().map_err(|_| unknown())?,
            Some(("weight", value)) => weight = value.parse().map_err(|_| unknown())?,
            Some(("zone", zone)) => said.zone(zone)?,
            Some((name, value)) => {
                let name = name.strip_prefix("label.").ok_or_else(unknown)?;
                said.label(name, value)?;
            }
            None => return Err(unknown()),
        }
    }
    Ok(endpoint(address, weight)?.described(said))
}

fn endpoint(address: &str, weight: u32) -> Result<FoundEndpoint, String> {
    let odd = || format!("`{}` is not `host:port`", address.escape_debug());
    let (host, port) = address.rsplit_once(':').ok_or_else(odd)?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(odd)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(odd)?,
        None if host.contains(':') => return Err(odd()),
        None => host,
    };
    let is_host = !host.is_empty()
        && host.len() <= 253
        && (host.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    if !is_host {
        return Err(odd());
    }
    if !(1..=super::answer::WEIGHT_MAX).contains(&weight) {
        return Err(format!("the weight {weight} of {address} is out of range"));
    }
    Ok(FoundEndpoint::new(&host.to_ascii_lowercase(), port, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, u32)]) {
        let found = read(text).unwrap();
        let told: Vec<(&str, u32)> = found
            .iter()
            .map(|one| (&*one.authority, one.weight))
            .collect();
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn lines_and_json_mean_the_same() {
        let expected = [("10.0.0.1:80", 1), ("[::1]:81", 2), ("app.internal:82", 3)];
        check(
            "# ours\n10.0.0.1:80\n\n [::1]:81 weight=2 # new\r\nApp.Internal:82 3",
            &expected,
        );
        let list = r#"["10.0.0.1:80", {"address":"[::1]:81","weight":2}, {"address":"app.internal:82","weight":3}]"#;
        check(list, &expected);
        check(&format!("{{\"endpoints\":{list}}}"), &expected);
        check("", &[]);
        check("[]", &[]);
    }

    #[test]
    fn what_servers_may_have_endpoints_may_have() {
        let line = "10.0.0.1:80 weight=3 zone=east backup label.version=v2 label.tier=gold";
        let json = r#"[{"address":"10.0.0.1:80","weight":3,"zone":"east","backup":true,
            "labels":{"version":"v2","tier":"gold"}}]"#;
        let found = read(line).unwrap();
        assert_eq!(found, read(json).unwrap());
        let attributes = &found[0].attributes;
        assert_eq!((found[0].weight, attributes.backup), (3, true));
        assert_eq!(attributes.zone.as_deref(), Some("east"));
        let labels = [
            ("tier".into(), "gold".into()),
            ("version".into(), "v2".into()),
        ];
        assert_eq!(*attributes.labels, labels);
        assert!(read("10.0.0.1:80 backup").unwrap()[0].attributes.backup);
        assert_eq!(read("a:80 3 zone=b").unwrap()[0].weight, 3);
    }

    #[test]
    fn what_is_broken_is_told_with_its_line() {
        for (text, told) in [
            ("10.0.0.1:80\n10.0.0.2", "line 2: `10.0.0.2` is not"),
            ("::1:80", "is not"),
            ("a:80 0", "out of range"),
            ("a:80 1 2", "`2` is none of"),
            ("a:80 heavy", "`heavy` is none of"),
            ("a:80 weight=heavy", "is none of"),
            ("a:80 zone=é", "is not the name of a zone"),
            ("a:80 label.=x", "is not a label"),
            ("a:80 color=blue", "`color=blue` is none of"),
            ("[{\"address\":\"a:80\",\"zone\":\"a b\"}]", "zone"),
            ("[{\"address\":\"a:80\",\"wieght\":2}]", "list `endpoints`"),
            ("[\"a:80\"", "line 1"),
            ("{\"servers\":[]}", "list `endpoints`"),
            ("[\"a b:80\"]", "is not"),
            ("[\"a:0\"]", "is not"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(told), "{text:?}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text: String) {
            let _ = read(&text);
        }

        #[test]
        fn bytes_of_any_kind_are_survived(bytes: Vec<u8>) {
            let _ = super::super::read_anything(&bytes);
        }

        #[test]
        fn what_is_written_is_read(
            hosts in proptest::collection::vec(("[a-z]{1,9}", 1u16.., 1u32..1000), 0..20),
        ) {
            let lines: String = (hosts.iter())
                .map(|(host, port, weight)| format!("{host}:{port} weight={weight}\n"))
                .collect();
            let found = read(&lines).unwrap();
            prop_assert_eq!(found.len(), hosts.len());
            for (one, (host, port, weight)) in found.iter().zip(&hosts) {
                prop_assert_eq!(&*one.authority, format!("{host}:{port}"));
                prop_assert_eq!(one.weight, *weight);
            }
        }
    }
}
