//! Shed: whether there is too much to do to serve a request of this kind.

use crate::exchange::Exchange;
use foregate_message::Reason;
use foregate_policy::overload::Rung;
use std::cell::Cell;

/// What one worker has to do, and how much of it is too much.
#[derive(Debug)]
pub struct Load {
    running: Cell<u32>,
    /// Up to how many requests nothing needs a thought.
    easy: Cell<u32>,
    limits: Cell<LoadLimits>,
    rung: Cell<Rung>,
}

/// One worker's share of the process' limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadLimits {
    /// Requests at once; more are turned away.
    pub requests_max: u32,
    /// Requests at once that are served whatever the pressure.
    pub requests_always: u32,
}

impl Default for Load {
    fn default() -> Load {
        Load {
            running: Cell::new(0),
            easy: Cell::new(u32::MAX),
            limits: Cell::new(LoadLimits {
                requests_max: u32::MAX,
                requests_always: 0,
            }),
            rung: Cell::new(Rung::Calm),
        }
    }
}

impl Load {
    /// Requests that are being served.
    pub fn running(&self) -> u32 {
        self.running.get()
    }

    /// Takes new limits; requests that run go on.
    pub fn set_limits(&self, limits: LoadLimits) {
        self.limits.set(limits);
        self.set_rung(self.rung.get());
    }

    /// Gives up from now on what `rung` says.
    pub fn set_rung(&self, rung: Rung) {
        self.rung.set(rung);
        let limits = self.limits.get();
        self.easy.set(match rung {
            Rung::Calm => limits.requests_max,
            _ => limits.requests_max.min(limits.requests_always),
        });
    }

    /// Counts a request for as long as the answer lives.
    #[inline]
    pub(crate) fn count(&self) -> Running<'_> {
        self.running.set(self.running.get() + 1);
        Running(&self.running)
    }
}

/// One request of [`Load::running`].
pub(crate) struct Running<'a>(&'a Cell<u32>);

impl Drop for Running<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Counts a request no more if it ends with `reason` since there is too much to do: else those who do not read that they
/// were turned away would be what there is too much of.
#[cold]
pub(crate) fn unless_turned_away(running: Running<'_>, reason: Reason) -> Option<Running<'_>> {
    let is_turned_away = matches!(reason, Reason::Overloaded | Reason::RequestsFull);
    (!is_turned_away).then_some(running)
}

/// Turns the request away if there is no room for it, or if others matter more.
#[inline]
pub(crate) fn shed(exchange: &Exchange, load: &Load) -> Result<(), Reason> {
    if load.running.get() <= load.easy.get() {
        return Ok(());
    }
    pressed(exchange, load)
}

#[cold]
fn pressed(exchange: &Exchange, load: &Load) -> Result<(), Reason> {
    if load.running.get() > load.limits.get().requests_max {
        return Err(Reason::RequestsFull);
    }
    let importance = exchange.route_plan(&exchange.plan).importance;
    if load.rung.get().sheds(importance) {
        return Err(Reason::Overloaded);
    }
    Ok(())
}
