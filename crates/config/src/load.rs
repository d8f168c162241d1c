//! From a path to one tree: reads the file, what it imports, and what its `${...}` refer to.

use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::files::Files;
use crate::source::Sources;
use crate::substitute::Substitution;
use crate::tree::{self, Entry, Format, Node, Value};
use crate::{Origin, import};
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

/// Bytes of text that a configuration may have, with all that it imports and substitutes.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 20;

/// Files that a configuration may consist of.
pub(crate) const FILES_MAX: usize = 10_000;

/// What was loaded: the tree of all files together, with imports and substitutions done.
pub(crate) struct Loaded {
    pub(crate) tree: Node,
    pub(crate) sources: Sources,
    /// True if a file is missing or not valid: what the tree lacks may be written there.
    pub(crate) broken: bool,
}

/// Loads the file at `path`.
pub(crate) fn load(path: &Path, files: &dyn Files, report: &mut Report) -> Loaded {
    let mut loader = Loader::new(files, report);
    loader.enqueue(path.to_path_buf(), None);
    loader.run()
}

/// Loads a text under the name of a path, with whatever it imports.
pub(crate) fn load_text(
    path: &Path,
    text: &str,
    format: Format,
    files: &dyn Files,
    report: &mut Report,
) -> Loaded {
    let mut loader = Loader::new(files, report);
    if text.len() > TEXT_BYTES_MAX {
        loader
            .sources
            .add(path.display().to_string(), String::new());
        loader.report.push(too_large(Origin::NOWHERE));
        loader.broken = true;
    } else {
        loader.seen.insert(path.to_path_buf());
        loader.add_text(path, text.to_owned(), format);
    }
    loader.run()
}

struct Loader<'l> {
    files: &'l dyn Files,
    report: &'l mut Report,
    sources: Sources,
    root: Vec<Entry>,
    /// Index into `root` by key.
    root_keys: HashMap<String, usize>,
    /// Keys of those tables in `root` that several files add to, by index into `root`.
    table_keys: HashMap<usize, HashMap<String, Origin>>,
    /// Every file that was read or will be.
    seen: HashSet<PathBuf>,
    queue: VecDeque<(PathBuf, Option<Origin>)>,
    bytes_left: usize,
    substitution: Substitution,
    broken: bool,
}

impl<'l> Loader<'l> {
    fn new(files: &'l dyn Files, report: &'l mut Report) -> Self {
        Self {
            files,
            report,
            sources: Sources::default(),
            root: Vec::new(),
            root_keys: HashMap::new(),
            table_keys: HashMap::new(),
            seen: HashSet::new(),
            queue: VecDeque::new(),
            bytes_left: TEXT_BYTES_MAX,
            substitution: Substitution::default(),
            broken: false,
        }
    }

    fn run(mut self) -> Loaded {
        while let Some((path, imported_at)) = self.queue.pop_front() {
            self.read_file(&path, imported_at);
        }
        Loaded {
            tree: Node::new(Origin::NOWHERE, Value::Table(self.root)),
            sources: self.sources,
            broken: self.broken,
        }
    }

    /// A file is read once, however many patterns match it; so imports cannot go in circles.
    fn enqueue(&mut self, path: PathBuf, imported_at: Option<Origin>) {
        if !self.seen.insert(path.clone()) {
            return;
        }
        if self.seen.len() > FILES_MAX {
            if self.seen.len() == FILES_MAX + 1 {
                self.report.push(
                    Diagnostic::new(
                        Code::TooLarge,
                        imported_at.unwrap_or(Origin::NOWHERE),
                        "too many files",
                    )
                    .cause(format!("a configuration may consist of {FILES_MAX} files")),
                );
            }
            return;
        }
        self.queue.push_back((path, imported_at));
    }

    fn read_file(&mut self, path: &Path, imported_at: Option<Origin>) {
        let name = path.display().to_string();
        match self.files.read(path, self.bytes_left) {
            Ok(text) if text.len() <= self.bytes_left => {
                self.add_text(path, text, Format::of_name(&name));
            }
            Ok(_) => {
                let origin = imported_at.unwrap_or(Origin::NOWHERE);
                self.report.push(too_large(origin));
                self.broken = true;
            }
            Err(reason) => {
                let origin = imported_at.unwrap_or_else(|| {
                    let file = self.sources.add(name.clone(), String::new());
                    Origin::new(file, 0, 0)
                });
                let message = format!("cannot read {}: {reason}", quoted(&name));
                self.report
                    .push(Diagnostic::new(Code::UnreadableFile, origin, message));
                self.broken = true;
            }
        }
    }

    fn add_text(&mut self, path: &Path, text: String, format: Format) {
        self.bytes_left -= text.len();
        let file = self.sources.add(path.display().to_string(), text);
        let text = self.sources.get(file).map_or("", |source| source.text());
        let mut syntax = Report::default();
        let mut tree = tree::parse(text, file, format, &mut syntax);
        // Of keys that are written twice the first is read, and everything else with it.
        let is_twice = |diagnostic: &Diagnostic| diagnostic.code == Code::DuplicateKey;
        let is_broken = syntax.omitted > 0 || !syntax.diagnostics.iter().all(is_twice);
        (0..syntax.omitted).for_each(|_| self.report.omit_error());
        for diagnostic in syntax.diagnostics {
            self.report.push(diagnostic);
        }
        // A reference shows in the text, unless an escape hides it.
        let may_refer = text.contains("${") || text.contains('\\');
        if is_broken {
            self.broken = true;
            self.sources.note_broken(file);
        }
        let directory = path.parent().unwrap_or(Path::new(""));
        if may_refer {
            self.substitution.apply(
                &mut tree,
                directory,
                self.files,
                &mut self.bytes_left,
                self.report,
            );
        }
        let Value::Table(entries) = tree.value else {
            let message = "a configuration is a table of keys";
            self.report.push(
                Diagnostic::new(Code::WrongType, tree.origin, message)
                    .label(format!("this is {}", tree.type_name())),
            );
            return;
        };
        for entry in entries {
            if entry.key == "import" {
                self.import(&entry.node, directory);
            } else {
                self.merge(entry);
            }
        }
    }

    fn import(&mut self, patterns: &Node, directory: &Path) {
        for (pattern, origin) in import::patterns(patterns, self.report) {
            match import::expand(&directory.join(pattern), self.files) {
                Ok(paths) => {
                    if paths.is_empty() {
                        let message = format!("{} matches no file", quoted(pattern));
                        self.report
                            .push(Diagnostic::new(Code::EmptyImport, origin, message));
                    }
                    for path in paths {
                        self.enqueue(path, Some(origin));
                    }
                }
                Err(reason) => {
                    let message = format!("cannot import {}: {reason}", quoted(pattern));
                    self.report
                        .push(Diagnostic::new(Code::UnreadableFile, origin, message));
                    self.broken = true;
                }
            }
        }
    }

    /// Adds a top-level key. Tables of several files are united, one level deep; everything else may stand once.
    fn merge(&mut self, entry: Entry) {
        let Some(index) = self.root_keys.get(&entry.key) else {
            self.root_keys.insert(entry.key.clone(), self.root.len());
            self.root.push(entry);
            return;
        };
        let (index, existing) = (*index, &self.root[*index]);
        match (&existing.node.value, entry.node.value) {
            (Value::Table(_), Value::Table(added)) => self.unite(index, added),
            _ => self
                .report
                .push(duplicate(&entry.key, entry.key_origin, existing.key_origin)),
        }
    }

    fn unite(&mut self, index: usize, added: Vec<Entry>) {
        let Value::Table(existing) = &mut self.root[index].node.value else {
            return;
        };
        let places = self.table_keys.entry(index).or_insert_with(|| {
            existing
                .iter()
                .map(|entry| (entry.key.clone(), entry.key_origin))
                .collect()
        });
        for entry in added {
            match places.get(&entry.key) {
                Some(first) => self
                    .report
                    .push(duplicate(&entry.key, entry.key_origin, *first)),
                None => {
                    places.insert(entry.key.clone(), entry.key_origin);
                    existing.push(entry);
                }
            }
        }
    }
}

fn duplicate(key: &str, again: Origin, first: Origin) -> Diagnostic {
    Diagnostic::new(
        Code::DuplicateKey,
        again,
        format!("{} is written in two files", quoted(key)),
    )
    .label("written again")
    .related(first, "first written here")
    .help("keep one of them")
}

fn too_large(origin: Origin) -> Diagnostic {
    Diagnostic::new(Code::TooLarge, origin, "the configuration is too large")
        .cause("a configuration may have 16 MiB of text, with all that it imports and substitutes")
}

#[cfg(test)]
mod tests;
