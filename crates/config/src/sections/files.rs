//! Files that keys name.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Syntax, syntax};
use crate::settings::NamedFile;
use crate::tree::Entry;
use std::path::Path;

pub(super) static FILE: Syntax = syntax("file path", "/etc/foregate/app.pem", "^.");
pub(super) static FOLDER: Syntax = syntax("folder path", "/etc/foregate/certs", "^.");

/// Where relative paths start, by index of the file that wrote them.
pub(super) type Directories<'d> = &'d [&'d Path];

/// Reads the path of a file or folder.
pub(super) fn named(
    text: &str,
    origin: Origin,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<NamedFile> {
    if text.is_empty() {
        report.push(
            Diagnostic::new(Code::BadValue, origin, "a path cannot be empty").label("no path"),
        );
        return None;
    }
    let directory = usize::try_from(origin.file)
        .ok()
        .and_then(|file| directories.get(file));
    Some(NamedFile {
        path: directory.unwrap_or(&Path::new("")).join(text),
        origin,
    })
}

/// Reads the path that an entry has.
pub(super) fn entry(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<NamedFile> {
    let text = crate::scalar::text(&entry.node, report)?;
    named(text, entry.node.origin, directories, report)
}

/// Reads the path of a key that need not be written.
pub(super) fn optional(
    fields: &Fields<'_>,
    name: &str,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<NamedFile> {
    entry(fields.entry(name)?, directories, report)
}
