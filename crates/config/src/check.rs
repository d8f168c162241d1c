//! What only the whole configuration can tell: duplicates across sections, ambiguous and unreachable routes.

mod addresses;
mod automaton;
mod hosts;
mod matchless;
mod overlap;
mod patterns;
mod routes;
mod tls;

use crate::diagnostic::Report;
use crate::sections::Faulty;
use crate::settings::Settings;

/// Reports everything that is wrong between the parts of a configuration.
pub(crate) fn check(settings: &Settings, faulty: &Faulty, report: &mut Report) {
    addresses::check(settings, report);
    hosts::check(settings, report);
    tls::check(settings, report);
    let mut budget = routes::Budget::new();
    for (index, site) in settings.sites.iter().enumerate() {
        let is_sound = |route: &usize| !faulty.contains(&(index, *route));
        let sound: Vec<usize> = (0..site.routes.len()).filter(is_sound).collect();
        routes::check(site, &sound, &mut budget, report);
        matchless::check(site, &sound, &mut budget, report);
    }
}
