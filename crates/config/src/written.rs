//! A configuration as it was written: every text of it, to be read again later, compared and shown.

use crate::diagnostic::Report;
use crate::files::Files;
use crate::line_diff::{self, Side};
use crate::secrets::without_secrets;
use crate::source::Sources;
use crate::tree::Node;
use crate::values::ValueInForce;
use crate::{Format, Outcome};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The texts of a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The configuration file, then what it imports; empty where no text was written.
    pub files: Vec<WrittenFile>,
}

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenFile {
    /// Its path, as diagnostics name it.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Written {
    /// What was read.
    pub fn of(sources: &Sources) -> Written {
        let file = |source: &crate::Source| WrittenFile {
            name: source.name().to_owned(),
            text: source.text().to_owned(),
        };
        Written {
            files: sources.iter().map(file).collect(),
        }
    }

    /// Bytes of text and names.
    pub fn bytes(&self) -> usize {
        let bytes = |file: &WrittenFile| file.name.len() + file.text.len();
        self.files.iter().map(bytes).sum()
    }

    /// Whether both say the same, wherever the configuration file itself stands.
    pub fn says_the_same_as(&self, other: &Written) -> bool {
        let texts = |one: &Written| -> Vec<String> {
            one.files.iter().map(|file| file.text.clone()).collect()
        };
        self.files.len() == other.files.len() && texts(self) == texts(other)
    }

    /// Reads it again: imports from what was written then, what `${...}` refers to from `files`, as it is now.
    pub fn load(&self, files: &dyn Files) -> Outcome {
        let Some(first) = self.files.first() else {
            return crate::parse_str("", "", Format::Toml, files);
        };
        let then = Then {
            written: self,
            now: files,
        };
        crate::parse_str(
            &first.name,
            &first.text,
            Format::of_name(&first.name),
            &then,
        )
    }

    /// Every value, defaults included, with its place.
    pub fn values(&self) -> Vec<ValueInForce> {
        crate::values::values(self)
    }

    /// The tree of all texts together. What `${...}` refers to is asked of `files`.
    pub(crate) fn tree(&self, files: &dyn Files, report: &mut Report) -> (Node, Sources) {
        let then = Then {
            written: self,
            now: files,
        };
        let (name, text) = match self.files.first() {
            Some(first) => (&*first.name, &*first.text),
            None => ("", ""),
        };
        let format = Format::of_name(name);
        let loaded = crate::load::load_text(Path::new(name), text, format, &then, report);
        (loaded.tree, loaded.sources)
    }

    /// The same without what is nobody's business.
    pub fn without_secrets(&self) -> Written {
        let shown = |file: &WrittenFile| WrittenFile {
            name: file.name.clone(),
            text: without_secrets(&file.name, &file.text),
        };
        Written {
            files: self.files.iter().map(shown).collect(),
        }
    }

    /// How it differs from an older one, line by line, without secrets; empty if it does not.
    pub fn diff(&self, older: &Written) -> String {
        let (new_shown, old_shown) = (self.without_secrets(), older.without_secrets());
        let mut out = String::new();
        let mut tell =
            |(was, is): (&str, &str), old: Option<(&str, &str)>, new: Option<(&str, &str)>| {
                let (text, shown) = old.unwrap_or_default();
                let (new_text, new_shown) = new.unwrap_or_default();
                let new_side = Side {
                    text: new_text,
                    shown: new_shown,
                };
                let hunks = line_diff::hunks(Side { text, shown }, new_side);
                if !hunks.is_empty() {
                    let from = old.map_or("/dev/null", |_| was);
                    let to = new.map_or("/dev/null", |_| is);
                    let _ = write!(out, "--- {from}\n+++ {to}\n{hunks}");
                }
            };
        for (at, file) in self.files.iter().enumerate() {
            let before = match at {
                // The configuration file is compared whatever it is called.
                0 => (!older.files.is_empty()).then_some(0),
                _ => older.position(&file.name),
            };
            let was = before.map_or("", |at| &*older.files[at].name);
            let before = before.map(|at| (&*older.files[at].text, &*old_shown.files[at].text));
            let after = Some((&*file.text, &*new_shown.files[at].text));
            tell((was, &file.name), before, after);
        }
        for (at, file) in older.files.iter().enumerate().skip(1) {
            if self.position(&file.name).is_none() {
                let before = Some((&*file.text, &*old_shown.files[at].text));
                tell((&file.name, ""), before, None);
            }
        }
        out
    }

    /// An imported file by its name.
    fn position(&self, name: &str) -> Option<usize> {
        let mut imported = self.files.iter().enumerate().skip(1);
        imported
            .find(|(_, file)| file.name == name)
            .map(|(at, _)| at)
    }
}

/// The files as they were then; those that no configuration text is in, as they are now.
struct Then<'w> {
    written: &'w Written,
    now: &'w dyn Files,
}

impl Files for Then<'_> {
    fn read(&self, path: &Path, bytes_max: usize) -> Result<String, String> {
        let kept = self.written.files.iter().skip(1);
        match kept.into_iter().find(|file| Path::new(&file.name) == path) {
            Some(file) if file.text.len() > bytes_max => {
                Err(format!("it is larger than {bytes_max} bytes"))
            }
            Some(file) => Ok(file.text.clone()),
            None => self.now.read(path, bytes_max),
        }
    }

    fn list(&self, directory: &Path) -> Result<Vec<String>, String> {
        let below = |name: &str| {
            let rest = Path::new(name).strip_prefix(directory).ok()?;
            let first = rest.components().next()?.as_os_str().to_str()?;
            Some(first.to_owned())
        };
        let kept = self.written.files.iter().skip(1);
        let mut names: Vec<String> = kept.filter_map(|file| below(&file.name)).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.now.env(name)
    }

    fn lacks_folder(&self, folder: &Path) -> Option<String> {
        self.now.lacks_folder(folder)
    }

    fn absolute(&self, folder: &Path) -> PathBuf {
        self.now.absolute(folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryFiles;

    const MAIN: &str =
        "import = [\"sites/*.toml\"]\n[listeners.public]\naddress = \"127.0.0.1:80\"\n";

    fn site(host: &str) -> String {
        format!("[sites.\"{host}\"]\nupstream = \"app\"\n")
    }

    fn files() -> MemoryFiles {
        MemoryFiles::default()
            .file("/etc/main.toml", MAIN)
            .file("/etc/sites/a.toml", site("a.example"))
            .file(
                "/etc/sites/b.toml",
                "[upstreams.app]\nservers = [\"${ENV:APP}\"]\n",
            )
            .variable("APP", "10.0.0.1:80")
    }

    fn loaded(files: &MemoryFiles) -> Written {
        let outcome = crate::load(Path::new("/etc/main.toml"), files);
        assert!(!outcome.has_errors(), "{}", crate::render(&outcome, false));
        Written::of(&outcome.sources)
    }

    #[test]
    fn what_was_written_is_read_again_though_the_files_have_changed() {
        let then = loaded(&files());
        assert_eq!(then.files.len(), 3);
        let now = files()
            .file("/etc/sites/a.toml", "broken = [")
            .file("/etc/sites/c.toml", "broken = [");
        let again = then.load(&now);
        assert!(!again.has_errors(), "{}", crate::render(&again, false));
        assert_eq!(Written::of(&again.sources), then);
        let settings = again.settings.unwrap();
        assert_eq!(settings.sites.len(), 1);
    }

    #[test]
    fn differences_name_their_files() {
        let old = loaded(&files());
        let new = loaded(&files().file("/etc/sites/a.toml", site("c.example")));
        assert!(!new.says_the_same_as(&old));
        assert_eq!(
            new.diff(&old),
            "--- /etc/sites/a.toml\n+++ /etc/sites/a.toml\n@@ -1,2 +1,2 @@\n-[sites.\"a.example\"]\n+[sites.\"c.example\"]\n upstream = \"app\"\n"
        );
        assert_eq!(old.diff(&old), "");
        let alone = Written {
            files: vec![WrittenFile {
                name: "elsewhere.toml".into(),
                text: MAIN.into(),
            }],
        };
        let told = alone.diff(&old);
        assert!(
            told.starts_with("--- /etc/sites/a.toml\n+++ /dev/null\n"),
            "{told}"
        );
        assert!(!told.contains("elsewhere"), "{told}");
        let other = Written {
            files: vec![WrittenFile {
                name: "new.toml".into(),
                text: "workers = 1\n".into(),
            }],
        };
        let told = other.diff(&alone);
        assert!(
            told.starts_with("--- elsewhere.toml\n+++ new.toml\n"),
            "{told}"
        );
    }
}
