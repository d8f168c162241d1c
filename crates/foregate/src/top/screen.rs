//! The terminal: its other page, keys as they are typed, and everything as it was at the end.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

/// The alternate page, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// The least that is drawn on.
const COLUMNS_MIN: usize = 20;
const LINES_MIN: usize = 8;

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// One that writes something.
    Character(char),
    /// Return.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Ctrl-C, Ctrl-D, or the end of the input.
    Interrupt,
}

/// Whether there is a terminal at both ends.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// A terminal that was taken; given back when dropped.
pub(crate) struct Screen {
    before: Termios,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take() -> io::Result<Screen> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        let screen = Screen { before };
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        write(ENTER)?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(crate) fn size(&self) -> (usize, usize) {
        let size = tcgetwinsize(io::stdout()).ok();
        let (columns, lines) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
        (
            usize::from(columns).max(COLUMNS_MIN),
            usize::from(lines).max(LINES_MIN),
        )
    }

    /// Draws lines over what was there.
    pub(crate) fn show(&self, text: &str) -> io::Result<()> {
        let mut page = String::from("\x1b[H");
        for (at, line) in text.lines().enumerate() {
            if at > 0 {
                page.push_str("\r\n");
            }
            // Names come from the gateway: nothing in them may speak to the terminal.
            page.extend(
                line.chars()
                    .map(|c| if c.is_control() { '\u{FFFD}' } else { c }),
            );
            page.push_str("\x1b[K");
        }
        page.push_str("\x1b[J");
        write(&page)
    }

    /// Keys that were typed, as soon as there are some, or none after a time.
    pub(crate) fn keys(&self, time: Duration) -> io::Result<Vec<Key>> {
        let stdin = io::stdin();
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&time));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut bytes = [0; 64];
        let count = stdin.lock().read(&mut bytes)?;
        Ok(keys(&bytes[..count]))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What was typed. Sequences of special keys are passed over.
fn keys(bytes: &[u8]) -> Vec<Key> {
    if bytes.is_empty() {
        return vec![Key::Interrupt];
    }
    if bytes.len() > 1 && bytes[0] == 0x1b {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(bytes);
    let key = |character: char| match character {
        '\u{3}' | '\u{4}' => Some(Key::Interrupt),
        '\u{1b}' => Some(Key::Escape),
        '\r' | '\n' => Some(Key::Enter),
        '\u{8}' | '\u{7f}' => Some(Key::Backspace),
        character if character.is_control() => None,
        character => Some(Key::Character(character)),
    };
    text.chars().filter_map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_keys() {
        let character = Key::Character;
        assert_eq!(keys(b"sq"), [character('s'), character('q')]);
        assert_eq!(keys("é\r".as_bytes()), [character('é'), Key::Enter]);
        assert_eq!(keys(b"\x1b"), [Key::Escape]);
        assert_eq!(keys(b"\x1b[A"), []);
        assert_eq!(keys(b"\x03"), [Key::Interrupt]);
        assert_eq!(keys(b"\x7f"), [Key::Backspace]);
        assert_eq!(keys(b""), [Key::Interrupt]);
    }
}
