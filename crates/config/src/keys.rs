//! The table of keys. Every section of the configuration is declared once, as a [`Section`]; the readers, the defaults,
//! the JSON Schema and the reference all come from these declarations.

/// A table of the configuration: its keys and what they mean.
#[derive(Debug)]
pub(crate) struct Section {
    /// How it is written, such as `[upstreams.<name>]`.
    pub(crate) heading: &'static str,
    /// What it is for, in Markdown.
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
}

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    /// What it means, in Markdown.
    pub(crate) doc: &'static str,
}

/// Declares a key.
pub(crate) const fn key(
    name: &'static str,
    kind: Kind,
    default: Default,
    doc: &'static str,
) -> Key {
    Key {
        name,
        kind,
        default,
        doc,
    }
}

/// What a key is when it is not written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    /// This text, read like a written one.
    Text(&'static str),
    /// This number.
    Integer(i64),
    /// This boolean.
    Boolean(bool),
    /// An empty list or table.
    Empty,
    /// Nothing: the feature or condition is not there. The words tell what that means.
    Absent(&'static str),
    /// It must be written.
    Required,
}

/// What a key takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// An integer in this range.
    Integer { min: i64, max: i64 },
    /// A number of things in this range, or `"off"` where allowed.
    Count { min: u32, max: u32, off: bool },
    /// A duration, at least this many milliseconds, or `"off"` where allowed.
    Duration { min_ms: u64, off: bool },
    /// A size, at most this many bytes, or `"off"` where allowed.
    Size { max: u64, off: bool },
    /// One of these words; each with its meaning, in Markdown, which may be empty.
    Choice(&'static [(&'static str, &'static str)]),
    /// A text of some syntax.
    Text(&'static Syntax),
    /// A list.
    List(&'static Kind),
    /// A table with keys of one's own, for values of one kind; the syntax is that of the keys.
    Map(&'static Syntax, &'static Kind),
    /// A table with these keys.
    Table(&'static Section),
    /// Any of these.
    Either(&'static [Kind]),
}

/// The syntax of a text.
#[derive(Debug)]
pub(crate) struct Syntax {
    /// What it is called, such as "address".
    pub(crate) name: &'static str,
    pub(crate) example: &'static str,
    /// A regular expression (ECMA-262) that every valid text matches, for editors; may be empty.
    pub(crate) pattern: &'static str,
    /// Whether what is written is to be shown to nobody.
    pub(crate) is_secret: bool,
}

/// Declares a syntax.
pub(crate) const fn syntax(
    name: &'static str,
    example: &'static str,
    pattern: &'static str,
) -> Syntax {
    Syntax {
        name,
        example,
        pattern,
        is_secret: false,
    }
}

/// Declares a syntax of texts that are never shown.
pub(crate) const fn secret_syntax(
    name: &'static str,
    example: &'static str,
    pattern: &'static str,
) -> Syntax {
    Syntax {
        name,
        example,
        pattern,
        is_secret: true,
    }
}

/// The longest duration that is taken: a year. Longer ones are surely not meant, and `Instant` arithmetic stays safe.
pub(crate) const DURATION_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;

/// The largest size that a 32-bit limit holds.
pub(crate) const SIZE_32: u64 = 1 << 31;

/// The largest size of anything.
pub(crate) const SIZE_64: u64 = 1 << 60;

pub(crate) static ANY: Syntax = syntax("text", "hello", "");
pub(crate) static NAME: Syntax = syntax("name", "app", "^[A-Za-z0-9_.-]{1,64}$");
pub(crate) static LABEL: Syntax = syntax("label", "v2", "^[ -~]{1,128}$");
pub(crate) static SOCKET_ADDRESS: Syntax = syntax("`ip:port`", "0.0.0.0:80", "^[^ ]+:[0-9]+$");
pub(crate) static SERVER_ADDRESS: Syntax =
    syntax("`host:port`", "10.0.0.1:8080", "^[^ /]+:[0-9]+$");
pub(crate) static RANGE: Syntax =
    syntax("address range", "10.0.0.0/8", "^[0-9A-Fa-f:.]+(/[0-9]+)?$");
pub(crate) static HOST_PATTERN: Syntax = syntax(
    "host, `*.domain` or `*`",
    "example.com",
    r"^(\*|(\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])$",
);
pub(crate) static CONGESTION_CONTROL: Syntax =
    syntax("congestion control", "bbr", "^[A-Za-z0-9_-]{1,15}$");
pub(crate) static NAME_PATTERN: Syntax = syntax(
    "host or `*.domain`",
    "example.com",
    r"^((\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])$",
);
pub(crate) static METHOD: Syntax = syntax("method", "GET", "^[!#$%&'+.^_`|~0-9A-Za-z-]+$");
pub(crate) static FIELD_NAME: Syntax =
    syntax("header name", "X-Api-Key", "^[!#$%&'+.^_`|~0-9A-Za-z-]+$");
pub(crate) static FIELD_VALUE: Syntax = syntax("header value", "yes", "");
pub(crate) static FIELD_TEMPLATE: Syntax = syntax("template", "{client}", "");
pub(crate) static VALUE_MATCH: Syntax = syntax("value condition", "~^v[12]$", "");
pub(crate) static PATH: Syntax = syntax("path", "/api", "^/");
pub(crate) static REGEX: Syntax = syntax("regular expression", "^/v[0-9]+/", "");
pub(crate) static FILE_PATTERN: Syntax = syntax("file pattern", "sites/*.toml", "^.");

#[cfg(test)]
pub(crate) mod tests;
