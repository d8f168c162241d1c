//! Stories with a client that others wrote.

mod curl;
