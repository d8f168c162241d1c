//! What TLS has to do with a request.

use super::{Outcome, Road, TlsNote, refused, text};
use crate::plan::{HttpsRedirect, RoutePlan, SiteTlsPlan};
use foregate_config::settings::{HostPattern, Issuer, SiteCertificate};
use foregate_message::{Reason, Scheme, Status};
use foregate_policy::https_redirect;

impl Road<'_> {
    /// How the site is served over TLS, as far as this request's host is concerned.
    pub(super) fn tls_note(&self, route: &RoutePlan, path: &[u8]) -> TlsNote {
        let tls = &route.tls;
        let is_https = self.request.scheme == Scheme::Https;
        let redirect = tls
            .redirect
            .and_then(|redirect| self.https_location(redirect, path));
        TlsNote {
            certificate: certificate(
                tls,
                &text(&self.request.host),
                !self.snapshot.certificates.is_empty(),
            ),
            encrypted: is_https,
            listener_in_cleartext: is_https && !self.listener.is_tls(),
            client_certificate: tls.client.as_ref().map(|client| match client.required {
                true => "required",
                false => "optional",
            }),
            https_redirect: redirect
                .filter(|_| self.scheme == Scheme::Http)
                .map(|location| text(&location)),
            hsts: tls
                .hsts
                .as_ref()
                .filter(|_| self.scheme == Scheme::Https)
                .map(|hsts| hsts.value.to_string()),
        }
    }

    /// What happens before the route's own policies are asked.
    pub(super) fn before_policies(&self, route: &RoutePlan, path: &[u8]) -> Option<Outcome> {
        if self.request.scheme == Scheme::Https {
            return None;
        }
        let location = (route.tls.redirect)
            .filter(|_| self.inquiry.certified && self.scheme == Scheme::Http)
            .and_then(|redirect| self.https_location(redirect, path));
        if let Some(location) = location {
            return Some(Outcome::Redirected {
                status: Status::PERMANENT_REDIRECT.code(),
                location: text(&location),
            });
        }
        let client = route.tls.client.as_ref();
        client
            .is_some_and(|client| client.required)
            .then(|| refused(Reason::MisdirectedRequest))
    }

    fn https_location(&self, redirect: HttpsRedirect, path: &[u8]) -> Option<Vec<u8>> {
        let listener = self.snapshot.listener(redirect.listener)?;
        let port = redirect
            .port
            .or(listener.addresses.first().map(|address| address.port()))?;
        https_redirect::location(&self.request.head, path, &self.request.host, port)
    }
}

/// Where a host's certificate comes from, in words; `has_files` tells whether any comes from files.
fn certificate(tls: &SiteTlsPlan, host: &str, has_files: bool) -> String {
    if tls.listeners.is_empty() {
        return match tls.source {
            SiteCertificate::Off => "none: `tls` is off".to_owned(),
            _ => "none: the site is on no TLS listener".to_owned(),
        };
    }
    let files = match (tls.source, &*tls.certificates) {
        (SiteCertificate::Internal | SiteCertificate::Acme, _) => None,
        _ if !has_files => None,
        (_, []) => Some("files that cover it".to_owned()),
        (_, names) => Some(format!("files of {}", names.join(", "))),
    };
    let covers = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name == host,
        HostPattern::Wildcard(suffix) => host
            .strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.ends_with('.')),
        HostPattern::Default => true,
    };
    let found = tls.hosts.iter().find(|(pattern, _)| covers(pattern));
    let issuer = match found.map_or(Issuer::Nobody, |(_, issuer)| *issuer) {
        Issuer::Internal => Some("the internal authority"),
        Issuer::Acme => Some("ACME"),
        Issuer::Nobody => None,
    };
    match (files, issuer) {
        (Some(files), Some(issuer)) => format!("{files}, else {issuer}"),
        (Some(files), None) => files,
        (None, Some(issuer)) => issuer.to_owned(),
        (None, None) => "none".to_owned(),
    }
}
