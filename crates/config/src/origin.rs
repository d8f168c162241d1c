//! Where a piece of the configuration was written.

/// The place of a piece of configuration: a file (an index into [`Sources`](crate::Sources)) and a byte range in its text.
///
/// Two origins always compare equal: where something stands does not change what it means, so settings that differ
/// only by moved lines are the same settings. Compare the fields to tell places apart.
#[derive(Debug, Clone, Copy, Default, Eq)]
pub struct Origin {
    /// Index of the file in [`Sources`](crate::Sources).
    pub file: u32,
    /// First byte of the text.
    pub start: u32,
    /// One past the last byte of the text.
    pub end: u32,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Origin {
    /// The byte range `start..end` of file number `file`. Ranges beyond 4 GiB are clamped; texts are limited far below that.
    pub fn new(file: u32, start: usize, end: usize) -> Self {
        let clamp = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(start),
            end: clamp(end),
        }
    }

    /// An empty range at the start of the first file: for settings that no text describes.
    pub const NOWHERE: Self = Self {
        file: 0,
        start: 0,
        end: 0,
    };

    /// True if both name the same file and byte range (which `==` ignores).
    pub fn same_place(self, other: Self) -> bool {
        (self.file, self.start, self.end) == (other.file, other.start, other.end)
    }
}
