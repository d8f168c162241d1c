//! What TLS has to do with a request.

use super::{Outcome, Road, TlsNote, refused, text};
use crate::plan::{HttpsRedirect, RoutePlan, SiteTlsPlan};
use foregate_config::settings::{HostPattern, Issuer, SiteCertificate, is_local_name};
use foregate_message::{Reason, Scheme, Status};
use foregate_policy::https_redirect;
use serde::Serialize;

/// Whether a host has a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStanding {
    /// There is none, and no way to one.
    None,
    /// It is asked for, which takes its time and may fail.
    Awaited,
    /// It is there as soon as the gateway runs.
    Had,
}

impl Road<'_> {
    /// How the site is served over TLS, as far as this request's host is concerned.
    pub(super) fn tls_note(&self, route: &RoutePlan, path: &[u8]) -> TlsNote {
        let tls = &route.tls;
        let is_https = self.request.scheme == Scheme::Https;
        let (certificate, standing) = self.certificate(tls);
        let default_certificate = (self.snapshot.tls.default_certificate.as_deref())
            .filter(|_| standing != CertificateStanding::Had)
            .map(str::to_owned);
        TlsNote {
            certificate,
            standing,
            default_certificate,
            encrypted: is_https,
            listener_in_cleartext: is_https && !self.listener.is_tls(),
            client_certificate: tls.client.as_ref().map(|client| match client.required {
                true => "required",
                false => "optional",
            }),
            https_redirect: self
                .redirect_to_https(tls, standing, path)
                .map(|location| text(&location)),
            hsts: tls
                .hsts
                .as_ref()
                .filter(|_| self.scheme == Scheme::Https && self.handshake(Some(tls)).is_none())
                .map(|hsts| hsts.value.to_string()),
        }
    }

    /// What happens before the route's own policies are asked.
    pub(super) fn before_policies(&self, route: &RoutePlan, path: &[u8]) -> Option<Outcome> {
        let tls = &route.tls;
        if self.request.scheme == Scheme::Https {
            return self.handshake(Some(tls));
        }
        let (_, standing) = self.certificate(tls);
        if let Some(location) = self.redirect_to_https(tls, standing, path) {
            return Some(Outcome::Redirected {
                status: Status::PERMANENT_REDIRECT.code(),
                location: text(&location),
                awaits_certificate: standing == CertificateStanding::Awaited,
            });
        }
        let client = tls.client.as_ref();
        client
            .is_some_and(|client| client.required)
            .then(|| refused(Reason::MisdirectedRequest))
    }

    /// What becomes of a request in cleartext where TLS is spoken, whatever stands in it.
    pub(super) fn spoken_in_cleartext(&self) -> Option<Outcome> {
        let is_mistaken = self.request.scheme == Scheme::Http && self.listener.is_tls();
        is_mistaken.then(|| Outcome::Refused {
            reason: "cleartext-http",
            status: 400,
            detail: Some("this listener speaks HTTPS".to_owned()),
        })
    }

    /// How the handshake comes to nothing, if it does, for the host of a site or of none.
    pub(super) fn handshake(&self, site: Option<&SiteTlsPlan>) -> Option<Outcome> {
        if self.request.scheme == Scheme::Http {
            return None;
        }
        if !self.listener.is_tls() {
            return Some(Outcome::HandshakeFailed {
                fault: "not-tls",
                detail: "this listener does not speak TLS".to_owned(),
            });
        }
        let has_certificate = match site {
            Some(site) if !site.listeners.is_empty() => {
                self.certificate(site).1 != CertificateStanding::None
            }
            // Whoever is no site's, or of one without TLS, is shown whatever is valid for the name.
            _ => {
                let mut sites = self.snapshot.sites.iter();
                (self.known.certificates)(None, &self.host())
                    || sites.any(|site| self.issuer(&site.tls).is_some())
            }
        };
        let is_shown = has_certificate || self.snapshot.tls.default_certificate.is_some();
        (!is_shown).then(|| Outcome::HandshakeFailed {
            fault: "unknown-name",
            detail: format!("there is no certificate for {}", self.host()),
        })
    }

    /// The request's host as certificates write it, but for the brackets of addresses.
    fn host(&self) -> String {
        let host = text(&self.request.host).to_ascii_lowercase();
        host.strip_suffix('.').map(str::to_owned).unwrap_or(host)
    }

    fn redirect_to_https(
        &self,
        tls: &SiteTlsPlan,
        standing: CertificateStanding,
        path: &[u8],
    ) -> Option<Vec<u8>> {
        tls.redirect
            .filter(|_| standing != CertificateStanding::None && self.scheme == Scheme::Http)
            .and_then(|redirect| self.https_location(redirect, path))
    }

    /// Where the host's certificate comes from, in words, and whether there is one.
    fn certificate(&self, tls: &SiteTlsPlan) -> (String, CertificateStanding) {
        if tls.listeners.is_empty() {
            let said = match tls.source {
                SiteCertificate::Off => "none: `tls` is off",
                _ => "none: the site is on no TLS listener",
            };
            return (said.to_owned(), CertificateStanding::None);
        }
        let (said, standing) = match self.issuer(tls) {
            _ if (self.known.certificates)(Some(tls), &self.host()) => {
                let said = match &*tls.certificates {
                    [] => "files that cover it".to_owned(),
                    names => format!("files of {}", names.join(", ")),
                };
                return (said, CertificateStanding::Had);
            }
            Some(Issuer::Internal) => ("the internal authority", CertificateStanding::Had),
            Some(Issuer::Acme) => ("ACME", CertificateStanding::Awaited),
            Some(Issuer::Nobody) | None => ("none", CertificateStanding::None),
        };
        (said.to_owned(), standing)
    }

    /// Who issues a certificate that is valid for the request's host and that the site may show.
    fn issuer(&self, tls: &SiteTlsPlan) -> Option<Issuer> {
        let host = self.host();
        let mut issued = tls.issued().filter(|(pattern, _)| match pattern {
            HostPattern::Exact(name) => *name == host,
            HostPattern::Wildcard(above) => is_under(&host, above),
            HostPattern::Default => false,
        });
        let is_served = !tls.listeners.is_empty();
        let takes_acme = matches!(tls.source, SiteCertificate::Auto | SiteCertificate::Acme);
        let on_demand = is_served && takes_acme && self.is_issued_on_demand(&host);
        let issuer = issued.next().map(|(_, issuer)| issuer);
        issuer.or(on_demand.then_some(Issuer::Acme))
    }

    /// Whether a certificate is ordered when a client asks for the host, as far as that can be told without asking.
    fn is_issued_on_demand(&self, host: &str) -> bool {
        let Some(demand) = &self.snapshot.acme.on_demand else {
            return false;
        };
        let last = host.rsplit_once('.').map_or("", |(_, last)| last);
        // A public authority issues for names of a domain, not for addresses.
        if !last.starts_with(|first: char| first.is_ascii_alphabetic()) {
            return false;
        }
        match &*demand.allow {
            // Local names are declined unasked: they have to be on the list.
            [] => demand.ask.is_some() && !is_local_name(host),
            allow => allow
                .iter()
                .any(|pattern| match pattern.strip_prefix("*.") {
                    Some(above) => is_under(host, above),
                    None => pattern == host,
                }),
        }
    }

    fn https_location(&self, redirect: HttpsRedirect, path: &[u8]) -> Option<Vec<u8>> {
        let listener = self.snapshot.listener(redirect.listener)?;
        let port = redirect
            .port
            .or(listener.addresses.first().map(|address| address.port()))?;
        https_redirect::location(&self.request.head, path, &self.request.host, port)
    }
}

/// Whether a wildcard stands for a host: for one label in a certificate (RFC 9525 §6.3).
fn is_under(host: &str, above: &str) -> bool {
    host.split_once('.')
        .is_some_and(|(label, rest)| !label.is_empty() && rest == above)
}
