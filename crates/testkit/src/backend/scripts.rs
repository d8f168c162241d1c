//! Well-behaved scripts.

use super::{Answer, Request, Script, Visit};
use crate::Trouble;

/// Answers every request with the request itself as JSON.
#[derive(Clone, Copy, Debug)]
pub struct Echo;

impl Script for Echo {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while let Some(request) = visit.next_request()? {
            let answer =
                Answer::ok(request.to_json().to_string()).field("Content-Type", "application/json");
            visit.answer(&request, &answer)?;
        }
        Ok(())
    }
}

/// Answers every request with what a function makes of it.
#[derive(Clone, Debug)]
pub struct Answers<F>(pub F);

impl<F> Script for Answers<F>
where
    F: Fn(&Request) -> Answer + Send + Sync + 'static,
{
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while let Some(request) = visit.next_request()? {
            let answer = (self.0)(&request);
            visit.answer(&request, &answer)?;
        }
        Ok(())
    }
}

/// Answers every request with the same bytes and keeps the connection.
#[derive(Clone, Debug)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    /// The bytes of `text`.
    pub fn text(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Script for Raw {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        while visit.next_request()?.is_some() {
            visit.send(&self.0)?;
        }
        Ok(())
    }
}

/// Answers one request with the same bytes and closes.
#[derive(Clone, Debug)]
pub struct RawThenCloses(pub Vec<u8>);

impl RawThenCloses {
    /// The bytes of `text`.
    pub fn text(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Script for RawThenCloses {
    fn attend(&self, visit: &mut Visit) -> Result<(), Trouble> {
        if visit.next_request()?.is_some() {
            visit.send(&self.0)?;
        }
        Ok(())
    }
}
