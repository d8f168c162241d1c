//! `[paths]`: how odd paths are treated. Encoded or raw NUL and control characters are always rejected.

/// How odd paths are treated before they are matched and forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    /// What happens to `%2F`.
    pub encoded_slash: EncodedSlash,
    /// What happens to `\` and `%5C`.
    pub backslash: Backslash,
    /// What happens to `//`.
    pub duplicate_slashes: DuplicateSlashes,
    /// What happens to `.` and `..` segments.
    pub dot_segments: DotSegments,
    /// What happens to `;` and what follows it in its segment.
    pub parameters: PathParameters,
}

/// What happens to an encoded slash (`%2F`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncodedSlash {
    /// Matched as the three characters it is, forwarded byte for byte.
    Keep,
    /// Becomes `/`; the path is forwarded normalised.
    Decode,
    /// The request is refused with 400.
    Reject,
}

/// What happens to a backslash, raw or encoded (`%5C`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backslash {
    /// The request is refused with 400.
    Reject,
    /// Becomes `/`; the path is forwarded normalised.
    Normalize,
    /// Matched and forwarded as it is.
    Keep,
}

/// What happens to empty segments (`//`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DuplicateSlashes {
    /// Matched and forwarded as they are.
    Keep,
    /// Become one slash; the path is forwarded normalised.
    Merge,
    /// The request is refused with 400.
    Reject,
}

/// What happens to `.` and `..` segments, raw or encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DotSegments {
    /// Resolved (RFC 3986 section 5.2.4); the path is forwarded resolved.
    Normalize,
    /// The request is refused with 400.
    Reject,
}

/// What happens to parameters of segments (`;x=1`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathParameters {
    /// Matched and forwarded as they are.
    Keep,
    /// Removed; the path is forwarded without them. An encoded one (`%3B`) is refused with 400.
    Strip,
    /// The request is refused with 400.
    Reject,
}
