//! `foregate top`: what a running gateway does, in a terminal, as long as somebody looks.

mod frame;
mod scrape;
mod screen;

use std::process::ExitCode;
use std::time::Duration;

use foregate_telemetry::clock::now;
use serde_json::Value;

use crate::admin::{Listener, Whom};
use crate::failure::Failure;
use crate::terminal;
use frame::{Frame, Look, Sort};
use scrape::Scrape;
use screen::{Key, Screen};

/// Characters of what is sought.
const FILTER_CHARS_MAX: usize = 64;

/// Watch what a running gateway does
///
/// Routes and endpoints with their rates, errors, retries and latencies, from the metrics
/// and the state that its admin listener tells. Keys: s sorts by something else, / seeks
/// (Enter keeps, Esc clears), q ends. Where standard output is no terminal, one picture is
/// printed, as with --once.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Top {
    #[command(flatten)]
    whom: Whom,

    /// Print one picture, and end
    #[arg(long)]
    once: bool,

    /// The picture as JSON, and end
    #[arg(long)]
    json: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    interval: u64,

    /// What comes first
    #[arg(long, value_enum, default_value = "rate")]
    sort: Sort,

    /// Only what has this in its name or state
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
}

impl Top {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let listener = self.whom.listener()?;
        let interval = Duration::from_secs(self.interval);
        if self.once || self.json || !screen::is_there() {
            let old = look(&listener)?;
            wait(interval);
            let frame = Frame::between(&old, &look(&listener)?);
            terminal::print(&match self.json {
                true => format!("{:#}\n", frame.json(self.sort, &self.filter)),
                false => frame.text(self.sort, &self.filter, usize::MAX, None),
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        watch(&listener, interval, self.sort, self.filter)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits; that it may be woken early is no harm.
fn wait(time: Duration) {
    let until = now().plus(time);
    while now() < until {
        std::thread::park_timeout(until.since(now()));
    }
}

/// Looks at a gateway.
fn look(listener: &Listener) -> Result<Look, Failure> {
    let stranger = || Failure::Failed("this is not the admin listener of a gateway".into());
    let metrics = listener.ask("GET /metrics").map_err(|error| {
        let place = &listener.place;
        Failure::Failed(format!("cannot ask the gateway at {place}: {error}"))
    })?;
    let (head, body) = metrics.split_once("\r\n\r\n").ok_or_else(stranger)?;
    if !head.starts_with("HTTP/1.1 200") {
        let detail = serde_json::from_str::<Value>(body).ok();
        let detail = detail.and_then(|told| Some(told["detail"].as_str()?.to_owned()));
        return Err(detail.map_or_else(stranger, Failure::Failed));
    }
    let (_, status) = listener.send("GET /status", "")?;
    let (_, upstreams) = listener.send("GET /upstreams", "")?;
    Ok(Look {
        at: now().millis() as f64 / 1000.0,
        metrics: Scrape::parse(body),
        status,
        upstreams,
    })
}

/// What is looked for, and in which order.
struct Wanted {
    sort: Sort,
    filter: String,
    /// Whether what is typed is what is sought.
    is_typing: bool,
}

impl Wanted {
    /// Takes a key; whether to go on.
    fn take(&mut self, key: Key) -> bool {
        match (key, self.is_typing) {
            (Key::Interrupt, _) | (Key::Character('q'), false) => return false,
            (Key::Escape, _) => {
                self.is_typing = false;
                self.filter.clear();
            }
            (Key::Enter, _) => self.is_typing = false,
            (Key::Backspace, true) => drop(self.filter.pop()),
            (Key::Character(typed), true) if self.filter.chars().count() < FILTER_CHARS_MAX => {
                self.filter.push(typed);
            }
            (Key::Character('s'), false) => self.sort = self.sort.next(),
            (Key::Character('/'), false) => self.is_typing = true,
            _ => {}
        }
        true
    }

    fn prompt(&self) -> String {
        match self.is_typing {
            true => format!("seek: {}_", self.filter),
            false => "q ends  s sorts  / seeks".to_owned(),
        }
    }
}

fn watch(
    listener: &Listener,
    interval: Duration,
    sort: Sort,
    filter: String,
) -> Result<(), Failure> {
    let mut wanted = Wanted {
        sort,
        filter,
        is_typing: false,
    };
    let mut old = look(listener)?;
    let screen = Screen::take().map_err(failed)?;
    let mut frame = Frame::between(&old, &old);
    let mut trouble = None;
    let mut next = now().plus(interval);
    loop {
        let (columns, lines) = screen.size();
        let mut text = frame.text(wanted.sort, &wanted.filter, columns, Some(lines - 1));
        let last = trouble.clone().unwrap_or_else(|| wanted.prompt());
        text.push_str(&last.chars().take(columns).collect::<String>());
        screen.show(&text).map_err(failed)?;
        for key in screen.keys(next.since(now())).map_err(failed)? {
            if !wanted.take(key) {
                return Ok(());
            }
        }
        if now() >= next {
            next = now().plus(interval);
            match look(listener) {
                Ok(new) => {
                    frame = Frame::between(&old, &new);
                    old = new;
                    trouble = None;
                }
                // It may be about to come back.
                Err(Failure::Config(text) | Failure::Usage(text) | Failure::Failed(text)) => {
                    trouble = Some(text);
                }
            }
        }
    }
}

fn failed(error: std::io::Error) -> Failure {
    Failure::Failed(format!("the terminal can't be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_seek_and_end() {
        let mut wanted = Wanted {
            sort: Sort::Rate,
            filter: String::new(),
            is_typing: false,
        };
        assert!(wanted.take(Key::Character('s')));
        assert_eq!(wanted.sort, Sort::Errors);
        for key in [
            Key::Character('/'),
            Key::Character('q'),
            Key::Character('x'),
            Key::Backspace,
        ] {
            assert!(wanted.take(key));
        }
        assert_eq!((&*wanted.filter, &*wanted.prompt()), ("q", "seek: q_"));
        assert!(wanted.take(Key::Enter) && !wanted.is_typing && wanted.filter == "q");
        assert!(wanted.take(Key::Escape) && wanted.filter.is_empty());
        assert!(!wanted.take(Key::Character('q')));
        assert!(!wanted.take(Key::Interrupt));
    }
}
