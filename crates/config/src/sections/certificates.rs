//! `[certificates.<name>]`

use super::files::{self, Directories};
use crate::diagnostic::{Code, Diagnostic, Report};
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, key};
use crate::settings::{Certificate, CertificateSource};
use crate::tree::Entry;
use crate::words;

pub(super) static SECTION: Section = Section {
    heading: "[certificates.<name>]",
    doc: "Certificates from files: one with `certificate` and `key`, or all of a `folder`. Files are watched, and a new \
          certificate is served as soon as it is there, without a reload; one that is broken changes nothing and is told in \
          the log. A site is served the certificates that cover its hosts.",
    keys: &[
        key(
            "certificate",
            Kind::Text(&files::FILE),
            Default::Absent("`folder` must be written"),
            "PEM file with the certificate and its chain, the certificate first.",
        ),
        key(
            "key",
            Kind::Text(&files::FILE),
            Default::Absent("`folder` must be written"),
            "PEM file with its private key.",
        ),
        key(
            "ocsp",
            Kind::Text(&files::FILE),
            Default::Absent("nothing is stapled"),
            "DER file with an OCSP response to staple.",
        ),
        key(
            "folder",
            Kind::Text(&files::FOLDER),
            Default::Absent("`certificate` and `key` must be written"),
            "A folder with pairs of PEM files: `<name>.crt` or `<name>.pem`, and `<name>.key`.",
        ),
    ],
};

pub(super) fn read(
    entries: &[Entry],
    directories: Directories<'_>,
    report: &mut Report,
) -> Vec<Certificate> {
    entries
        .iter()
        .filter_map(|entry| read_one(entry, directories, report))
        .collect()
}

fn read_one(
    entry: &Entry,
    directories: Directories<'_>,
    report: &mut Report,
) -> Option<Certificate> {
    words::name(&entry.key, entry.key_origin, report);
    let fields = Fields::open(&SECTION, &entry.node, entry.key_origin, report);
    let folder = files::optional(&fields, "folder", directories, report);
    let certificate = files::optional(&fields, "certificate", directories, report);
    let key = files::optional(&fields, "key", directories, report);
    let ocsp = files::optional(&fields, "ocsp", directories, report);
    if let Some(folder) = fields.entry("folder") {
        for name in ["certificate", "key", "ocsp"] {
            if let Some(one) = fields.entry(name) {
                report.push(
                    Diagnostic::new(
                        Code::ConflictingKeys,
                        one.key_origin,
                        format!("`{name}` and `folder` cannot stand together"),
                    )
                    .related(folder.key_origin, "`folder` is here")
                    .help("write two entries of `certificates`"),
                );
            }
        }
    } else if !fields.has_unknown {
        for (name, example) in [("certificate", "app.pem"), ("key", "app.key")] {
            if fields.entry(name).is_none() {
                report.push(
                    Diagnostic::new(
                        Code::MissingKey,
                        entry.key_origin,
                        format!("the certificate `{}` has no `{name}`", entry.key),
                    )
                    .help(format!(
                        "for example: {name} = \"{example}\"; or folder = \"certs\" for many"
                    )),
                );
            }
        }
    }
    fields.finish();
    let source = match (folder, certificate, key) {
        (Some(folder), _, _) => CertificateSource::Folder(folder),
        (None, Some(certificate), Some(key)) => CertificateSource::Files {
            certificate,
            key,
            ocsp,
        },
        _ => return None,
    };
    Some(Certificate {
        name: entry.key.clone(),
        origin: entry.key_origin,
        source,
    })
}
