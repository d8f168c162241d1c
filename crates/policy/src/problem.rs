//! Why a policy can't be compiled.

use std::fmt;

/// What is wrong with a policy's specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// The field belongs to the gateway: it frames messages or speaks of one connection (RFC 9110 §7.6.1), or it is
    /// Host, which has a setting of its own.
    ReservedField(String),
    /// The name is not a field name (RFC 9110 §5.1).
    FieldName(String),
    /// The value of this field has a control character.
    FieldValue(String),
    /// The path does not begin with a slash.
    PathNotAbsolute,
    /// A path has a character that no path may have, a `?` or a `#`.
    PathCharacter,
    /// The regular expression is invalid or too large; the text says how.
    Pattern(String),
    /// The replacement names a group that the regular expression does not have.
    UnknownGroup(String),
    /// The target is neither an absolute path nor an http or https URL with a host of its own.
    RedirectTarget,
    /// The status is not one that this answer can have.
    Status(u16),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::ReservedField(name) => {
                write!(f, "the field `{name}` is the gateway's own and can't be changed by rules")
            }
            Problem::FieldName(name) => write!(f, "`{name}` is not a field name"),
            Problem::FieldValue(name) => {
                write!(f, "the value of `{name}` has a control character")
            }
            Problem::PathNotAbsolute => f.write_str("the path does not begin with `/`"),
            Problem::PathCharacter => f.write_str("the path has a character that no path may have"),
            Problem::Pattern(why) => write!(f, "the regular expression can't be compiled: {why}"),
            Problem::UnknownGroup(name) => {
                write!(f, "the regular expression has no group `{name}`")
            }
            Problem::RedirectTarget => f.write_str(
                "the target is neither an absolute path nor an http or https URL with a host of its own",
            ),
            Problem::Status(code) => write!(f, "the status {code} can't be used here"),
        }
    }
}

impl std::error::Error for Problem {}
