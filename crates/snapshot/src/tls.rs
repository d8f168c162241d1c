//! From settings to what TLS, certificates and protocols follow.

use crate::compile::size;
use crate::plan::{
    AcmePlan, CertificateFiles, CertificatePlan, ClientCertificatePlan, DnsPlan, DnsProviderPlan,
    HstsPlan, Http2Plan, HttpsRedirect, ListenerPlan, ModePlan, OnDemandPlan, ProtocolPlan,
    SiteTlsPlan, SniRoutes, TlsPlan, UpstreamTlsPlan,
};
use foregate_config::settings::{
    self, Acme, Certificate, CertificateSource, ClientCertificate, DnsProvider, HostPattern, Hsts,
    Http2, Issuer, Mode, NamedFile, Protocol, Settings, Site, SiteCertificate, Tls, Upstream,
    is_local_name,
};
use foregate_config::{Code, Diagnostic};
use foregate_message::FieldName;
use std::sync::Arc;

/// The port of HTTPS, which browsers take where none is written.
const HTTPS_PORT: u16 = 443;

/// A year, which HSTS preloading asks for.
const HSTS_AUTO: &str = "max-age=31536000";

pub(crate) fn tls(tls: &Tls) -> TlsPlan {
    TlsPlan {
        profile: tls.profile,
        handshake_timeout: tls.handshake_timeout,
        default_certificate: (tls.default_certificate.as_ref())
            .map(|shown| shown.name.as_str().into()),
        session_tickets: tls.session_tickets,
        ticket_keys_file: tls.ticket_keys_file.as_ref().map(path),
        ticket_rotation: tls.ticket_rotation,
        session_cache_max: size(tls.session_cache_max),
        early_data: tls.early_data,
    }
}

fn path(file: &NamedFile) -> std::path::PathBuf {
    file.path.clone()
}

pub(crate) fn certificates(certificates: &[Certificate]) -> Box<[CertificatePlan]> {
    let plan = |certificate: &Certificate| CertificatePlan {
        name: certificate.name.as_str().into(),
        source: match &certificate.source {
            CertificateSource::Files {
                certificate,
                key,
                ocsp,
            } => CertificateFiles::Pair {
                certificate: path(certificate),
                key: path(key),
                ocsp: ocsp.as_ref().map(path),
            },
            CertificateSource::Folder(folder) => CertificateFiles::Folder(path(folder)),
        },
    };
    certificates.iter().map(plan).collect()
}

pub(crate) fn acme(acme: &Acme) -> AcmePlan {
    AcmePlan {
        email: acme.email.as_deref().map(Into::into),
        directory: acme.directory.as_str().into(),
        ca_file: acme.ca_file.as_ref().map(path),
        challenge: acme.challenge,
        dns: acme.dns.as_ref().map(|dns| DnsPlan {
            provider: match &dns.provider {
                DnsProvider::Hook(command) => DnsProviderPlan::Hook(command.clone()),
                DnsProvider::Rfc2136 {
                    server,
                    key_name,
                    key_secret,
                    key_algorithm,
                } => DnsProviderPlan::Rfc2136 {
                    server: server.to_string().into(),
                    key_name: key_name.as_str().into(),
                    key_secret: key_secret.clone(),
                    key_algorithm,
                },
            },
            propagation_timeout: dns.propagation_timeout,
        }),
        eab: acme
            .eab
            .as_ref()
            .map(|eab| (eab.key_id.as_str().into(), eab.hmac_key.clone())),
        on_demand: acme.on_demand.as_ref().map(|demand| OnDemandPlan {
            allow: demand.allow.iter().map(ToString::to_string).collect(),
            ask: demand.ask.clone(),
            issues_per_hour_max: demand.issues_per_hour_max,
        }),
    }
}

pub(crate) fn http2(http2: Http2) -> Http2Plan {
    Http2Plan {
        streams_max: http2.streams_max,
        stream_window_bytes: http2.stream_window_bytes,
        connection_window_bytes: http2.connection_window_bytes,
        ack_timeout: http2.ack_timeout,
    }
}

pub(crate) fn mode(mode: &Mode) -> ModePlan {
    match mode {
        Mode::Http { tls, http1, http2 } => ModePlan::Http {
            tls: *tls,
            http1: *http1,
            http2: *http2,
        },
        Mode::Tcp(upstream) => ModePlan::Tcp(upstream.as_str().into()),
        Mode::TlsPassthrough(routes) => ModePlan::TlsPassthrough(Arc::new(sni_routes(routes))),
    }
}

fn sni_routes(written: &[(HostPattern, String)]) -> SniRoutes {
    let mut routes = SniRoutes::default();
    for (host, upstream) in written {
        let upstream: Arc<str> = upstream.as_str().into();
        match host {
            HostPattern::Exact(host) => {
                routes.exact.insert(host.as_str().into(), upstream);
            }
            HostPattern::Wildcard(suffix) => {
                routes.wildcards.push((suffix.as_str().into(), upstream));
            }
            HostPattern::Default => routes.any = Some(upstream),
        }
    }
    routes
        .wildcards
        .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    routes
}

/// How a site is served over TLS.
pub(crate) fn site(
    site: &Site,
    settings: &Settings,
    listeners: &[ListenerPlan],
    diagnostics: &mut Vec<Diagnostic>,
) -> SiteTlsPlan {
    let tls = &site.tls;
    let is_off = tls.source == SiteCertificate::Off;
    let dns = settings.acme.dns.is_some();
    let served: Vec<&ListenerPlan> = listeners
        .iter()
        .filter(|listener| !is_off && listener.is_tls() && site.is_on(&listener.name))
        .collect();
    let redirect = redirect(tls.https_redirect, &served);
    let client = tls
        .client_certificate
        .as_ref()
        .filter(|_| !is_off)
        .map(|asked| Arc::new(client(asked, diagnostics)));
    SiteTlsPlan {
        source: tls.source,
        certificates: tls
            .certificates
            .iter()
            .map(|name| name.as_str().into())
            .collect(),
        hosts: site
            .hosts
            .iter()
            .map(|host| (host.pattern.clone(), tls.issuer(&host.pattern, dns)))
            .collect(),
        listeners: served.iter().map(|listener| listener.number).collect(),
        redirect,
        hsts: hsts(site, redirect).map(Arc::new),
        client,
    }
}

/// The listener that clients are sent to: one on the default port if there is any, and then to that port, whatever other
/// addresses it has.
fn redirect(written: settings::HttpsRedirect, served: &[&ListenerPlan]) -> Option<HttpsRedirect> {
    let port = match written {
        settings::HttpsRedirect::Off => return None,
        settings::HttpsRedirect::Auto => None,
        settings::HttpsRedirect::Port(port) => Some(port),
    };
    let is_usual = |listener: &&&ListenerPlan| {
        let mut addresses = listener.addresses.iter();
        addresses.any(|address| address.port() == HTTPS_PORT)
    };
    let usual = served.iter().find(is_usual);
    let listener = usual.or(served.first())?;
    Some(HttpsRedirect {
        listener: listener.number,
        port: port.or(usual.map(|_| HTTPS_PORT)),
    })
}

fn hsts(site: &Site, redirect: Option<HttpsRedirect>) -> Option<HstsPlan> {
    // A browser that remembers turns http://host/ into https://host/ (RFC 6797 §8.3), which is this port and no other.
    let leads_home = redirect.is_some_and(|redirect| redirect.port == Some(HTTPS_PORT));
    let issued_inside = site.tls.source == SiteCertificate::Internal
        || site.hosts.iter().any(|host| match &host.pattern {
            HostPattern::Exact(name) | HostPattern::Wildcard(name) => is_local_name(name),
            HostPattern::Default => false,
        });
    match site.tls.hsts {
        Hsts::Off => None,
        Hsts::Auto => (leads_home && !issued_inside).then(|| HstsPlan {
            value: HSTS_AUTO.into(),
            replaces: false,
        }),
        Hsts::Written {
            max_age,
            include_subdomains,
            preload,
        } => {
            let mut value = format!("max-age={}", max_age.as_secs());
            for (is_on, directive) in [
                (include_subdomains, "; includeSubDomains"),
                (preload, "; preload"),
            ] {
                if is_on {
                    value.push_str(directive);
                }
            }
            Some(HstsPlan {
                value: value.into(),
                replaces: true,
            })
        }
    }
}

fn client(asked: &ClientCertificate, diagnostics: &mut Vec<Diagnostic>) -> ClientCertificatePlan {
    let mut field = |text: &Option<String>| {
        let text = text.as_deref()?;
        let name = FieldName::new(text);
        if name.is_none() {
            let message = format!("`{text}` is not a field name");
            diagnostics.push(Diagnostic::new(Code::BadHeader, asked.origin, message));
        }
        name
    };
    ClientCertificatePlan {
        required: asked.required,
        subject_field: field(&asked.subject_field),
        fingerprint_field: field(&asked.fingerprint_field),
        ca_file: path(&asked.ca_file),
        crl_files: asked.crl_files.iter().map(path).collect(),
    }
}

/// The fields that tell backends of clients' certificates, which no client may send itself.
pub(crate) fn certificate_fields<'s>(
    sites: impl Iterator<Item = &'s SiteTlsPlan>,
) -> Box<[FieldName]> {
    let mut fields: Vec<FieldName> = sites
        .filter_map(|site| site.client.as_ref())
        .flat_map(|client| [&client.subject_field, &client.fingerprint_field])
        .flatten()
        .cloned()
        .collect();
    fields.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    fields.dedup();
    fields.into()
}

pub(crate) fn upstream(upstream: &Upstream) -> (Option<UpstreamTlsPlan>, ProtocolPlan) {
    let tls = (upstream.tls.as_ref()).map(|tls| connector(tls, upstream.protocol));
    let protocol = ProtocolPlan {
        // Without a handshake nobody can choose.
        protocol: match upstream.protocol {
            Protocol::Auto if tls.is_none() => Protocol::Http1,
            protocol => protocol,
        },
        streams_per_connection_max: upstream.streams_per_connection_max,
    };
    (tls, protocol)
}

pub(crate) fn connector(tls: &settings::UpstreamTls, protocol: Protocol) -> UpstreamTlsPlan {
    UpstreamTlsPlan {
        server_name: tls.server_name.as_deref().map(Into::into),
        send_sni: tls.send_sni,
        ca_file: tls.ca_file.as_ref().map(path),
        client_certificate: tls
            .client_certificate
            .as_ref()
            .map(|(certificate, key)| (path(certificate), path(key))),
        verify: tls.verify,
        http1: protocol != Protocol::Http2,
        http2: protocol != Protocol::Http1,
    }
}

impl SiteTlsPlan {
    /// Who issues certificates for the site's hosts, each but those that nobody issues one for.
    pub fn issued(&self) -> impl Iterator<Item = (&HostPattern, Issuer)> {
        let is_served = !self.listeners.is_empty();
        self.hosts
            .iter()
            .filter(move |(_, issuer)| is_served && *issuer != Issuer::Nobody)
            .map(|(host, issuer)| (host, *issuer))
    }
}

#[cfg(test)]
mod tests;
