//! Questions for renewal information (RFC 9773), and what comes of the answers.

use foregate_telemetry::clock::{now, unix_now};
use foregate_telemetry::log::process;

use super::entry::Entry;
use super::work::{About, Done, Work, tell_failure};
use crate::certificate::Key;
use crate::order::Suggestion;
use crate::reason::Failure;
use crate::schedule::Span;

impl Work {
    pub(super) fn start_window(&mut self, key: &Key) {
        let Some(desk) = self.acme.clone().map(|options| self.desk(options)) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let Some(issued) = entry.issued.clone() else {
            return;
        };
        entry.asking = true;
        let fingerprint = issued.facts.fingerprint.clone();
        let handle = self
            .running
            .spawn(async move { Done::Window(desk.window(&issued).await) });
        let about = About::Window(key.clone(), fingerprint);
        self.about.insert(handle.id(), about);
    }

    pub(super) fn finish_window(
        &mut self,
        key: &Key,
        of: &str,
        outcome: Result<Option<Suggestion>, Failure>,
    ) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let (at, unix) = (now(), unix_now());
        entry.asking = false;
        // Its successor, that has come meanwhile, has a time of its own and is asked about next.
        let issued = entry.issued.as_ref();
        if issued.is_none_or(|issued| issued.facts.fingerprint != of) {
            return;
        }
        match outcome {
            Ok(Some(suggestion)) => {
                let (window, after) = (suggestion.window, suggestion.after);
                let is_news = entry.schedule.window() != Some(window);
                entry
                    .schedule
                    .window_known(at, Some(window), Some(after), &self.timing);
                if is_news {
                    entry.record.follow(&entry.schedule, at, unix);
                    let stored = self.folder.store_record(key, &entry.record);
                    if let Err(failure) = stored {
                        tell_failure(entry, &failure);
                    }
                }
                let is_explained =
                    suggestion.explanation.is_some() && suggestion.explanation != entry.explanation;
                entry.explanation = suggestion.explanation;
                if is_news || is_explained {
                    tell_window(entry, window);
                }
            }
            Ok(None) => entry.schedule.no_window(),
            Err(failure) => {
                process::debug(
                    "renewal information could not be had",
                    &[
                        ("names", &entry.names.join(",")),
                        ("reason", &failure.reason.name()),
                        ("detail", &failure.detail),
                    ],
                );
                entry
                    .schedule
                    .window_known(at, None, failure.retry_after, &self.timing);
            }
        }
    }
}

fn tell_window(entry: &Entry, window: Span) {
    let names = entry.names.join(",");
    let (from, until) = (window.start.seconds(), window.end.seconds());
    let mut values: Vec<process::Value<'_>> =
        vec![("names", &names), ("from", &from), ("until", &until)];
    if let Some(url) = &entry.explanation {
        values.push(("explanation", url));
    }
    process::info("the CA suggests when to renew", &values);
}

#[cfg(test)]
mod tests;
