//! `[paths]`

use crate::diagnostic::Report;
use crate::fields::Fields;
use crate::keys::{Default, Kind, Section, key};
use crate::settings::{
    Backslash, DotSegments, DuplicateSlashes, EncodedSlash, PathParameters, Paths,
};

pub(super) static SECTION: Section = Section {
    heading: "[paths]",
    doc: "How odd paths are treated. A path is normalised once, for matching: unreserved characters are decoded (RFC 3986 \
          section 6.2.2). One that a backend could read in another way than it was matched is forwarded in its normalised \
          form; every other path, and every query, is forwarded byte for byte. Always refused with 400, whatever is set \
          here, are NUL and control characters, encoded or not, a `%` without two hexadecimal digits, `..` above the root, \
          and dot segments with a parameter (`..;x`) or beside an encoded slash or backslash (`..%2F`), which some backends resolve and others do not. A connection of \
          HTTP/1 is closed behind a path that is refused.",
    keys: &[
        key(
            "encoded_slash",
            Kind::Choice(&[
                (
                    "keep",
                    "matched and forwarded as the three characters it is",
                ),
                ("decode", "becomes `/`; the path is forwarded normalised"),
                ("reject", "refused with 400"),
            ]),
            Default::Text("keep"),
            "`%2F`.",
        ),
        key(
            "backslash",
            Kind::Choice(&[
                ("reject", "refused with 400"),
                ("normalize", "becomes `/`; the path is forwarded normalised"),
                ("keep", "matched and forwarded as it is"),
            ]),
            Default::Text("reject"),
            "`\\` and `%5C`.",
        ),
        key(
            "duplicate_slashes",
            Kind::Choice(&[
                ("keep", "matched and forwarded as they are"),
                ("merge", "become one; the path is forwarded normalised"),
                ("reject", "refused with 400"),
            ]),
            Default::Text("keep"),
            "`//`.",
        ),
        key(
            "dot_segments",
            Kind::Choice(&[
                ("normalize", "resolved; the path is forwarded resolved"),
                ("reject", "refused with 400"),
            ]),
            Default::Text("normalize"),
            "`.` and `..` segments, encoded or not.",
        ),
        key(
            "parameters",
            Kind::Choice(&[
                ("keep", "matched and forwarded as they are"),
                (
                    "strip",
                    "removed; the path is forwarded without them, and `%3B` is refused with 400",
                ),
                ("reject", "refused with 400, `%3B` too"),
            ]),
            Default::Text("keep"),
            "`;` and what follows it in its segment. Servlet containers, for one, take `/admin;x/y` for `/admin/y`: where backends \
             do and routes guard paths, keep none.",
        ),
    ],
};

pub(super) fn read(fields: Fields<'_>, report: &mut Report) -> Paths {
    let paths = Paths {
        encoded_slash: match fields.choice("encoded_slash", report) {
            "decode" => EncodedSlash::Decode,
            "reject" => EncodedSlash::Reject,
            _ => EncodedSlash::Keep,
        },
        backslash: match fields.choice("backslash", report) {
            "normalize" => Backslash::Normalize,
            "keep" => Backslash::Keep,
            _ => Backslash::Reject,
        },
        duplicate_slashes: match fields.choice("duplicate_slashes", report) {
            "merge" => DuplicateSlashes::Merge,
            "reject" => DuplicateSlashes::Reject,
            _ => DuplicateSlashes::Keep,
        },
        dot_segments: match fields.choice("dot_segments", report) {
            "reject" => DotSegments::Reject,
            _ => DotSegments::Normalize,
        },
        parameters: match fields.choice("parameters", report) {
            "strip" => PathParameters::Strip,
            "reject" => PathParameters::Reject,
            _ => PathParameters::Keep,
        },
    };
    fields.finish();
    paths
}
