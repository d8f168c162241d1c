//! The names of outcomes, as metrics want them.

use foregate_message::Reason;
use std::sync::OnceLock;

/// All names, in the order of [`Reason::index`].
pub(crate) fn names() -> &'static [&'static str] {
    static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
    NAMES.get_or_init(|| Reason::all().map(Reason::name).collect())
}
