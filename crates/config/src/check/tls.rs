//! Whether sites on TLS listeners can have the certificates that they need, and whether their challenges can be met.

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::settings::{
    CertificateSource, Challenge, HostPattern, Issuer, Listener, Mode, NamedCertificate, Protocol,
    Settings, Site, SiteCertificate, SiteHost, Upstream,
};

/// Reports certificates that cannot be had, and keys that contradict each other across sections.
pub(super) fn check(settings: &Settings, report: &mut Report) {
    for site in &settings.sites {
        let listeners: Vec<&Listener> = settings
            .listeners
            .iter()
            .filter(|listener| listener.is_tls() && site.is_on(&listener.name))
            .collect();
        if let Some(asked) = &site.tls.client_certificate
            && listeners.is_empty()
        {
            let message = format!("the site `{}` is on no TLS listener", site.name);
            report.push(
                Diagnostic::new(Code::ConflictingKeys, asked.origin, message)
                    .label("never asked for")
                    .help("tls = true on one of its listeners"),
            );
        }
        let is_written = listeners.iter().any(|listener| !listener.implied);
        for host in site.hosts.iter().filter(|_| !listeners.is_empty()) {
            certificate(settings, site, host, is_written, report);
        }
    }
    challenges(settings, report);
    single(
        settings.tls.default_certificate.as_ref(),
        "clients that ask for an unknown name are shown one certificate",
        settings,
        report,
    );
    let admin = settings.admin.as_ref();
    single(
        admin.and_then(|admin| admin.certificate.as_ref()),
        "the admin listener shows one certificate",
        settings,
        report,
    );
    for upstream in &settings.upstreams {
        protocol(upstream, report);
    }
    for listener in &settings.listeners {
        passes_through_twice(listener, settings, report);
    }
}

/// Which certificate of a folder were meant, and what took its place when its files go, nobody could say.
fn single(
    shown: Option<&NamedCertificate>,
    why: &'static str,
    settings: &Settings,
    report: &mut Report,
) {
    let Some(shown) = shown else {
        return;
    };
    let mut certificates = settings.certificates.iter();
    let entry = certificates.find(|entry| entry.name == shown.name);
    if let Some(entry) = entry
        && matches!(entry.source, CertificateSource::Folder(_))
    {
        let message = format!("`{}` is a folder of certificates", shown.name);
        report.push(
            Diagnostic::new(Code::BadValue, shown.origin, message)
                .label(why)
                .related(entry.origin, "defined here")
                .help("an entry with `certificate` and `key`"),
        );
    }
}

/// Whether a host of a site on a TLS listener can have a certificate.
fn certificate(
    settings: &Settings,
    site: &Site,
    host: &SiteHost,
    is_written: bool,
    report: &mut Report,
) {
    let tls = &site.tls;
    if tls.source == SiteCertificate::Off
        || tls.issuer(&host.pattern, settings.acme.dns.is_some()) != Issuer::Nobody
    {
        return;
    }
    let name = &host.pattern;
    let missing = format!("there is no way to a certificate for `{name}`");
    let of_acme = match name {
        HostPattern::Default => "nobody issues a certificate for every name",
        HostPattern::Exact(_) => "no public authority issues certificates for local names",
        HostPattern::Wildcard(suffix) if crate::settings::is_local_name(suffix) => {
            "no public authority issues certificates for local names"
        }
        HostPattern::Wildcard(_) => "a wildcard is proved by dns-01 only",
    };
    let help = match name {
        HostPattern::Default => {
            "certificates from files, [tls] default_certificate, or [acme] on_demand"
        }
        HostPattern::Wildcard(_) if tls.source == SiteCertificate::Acme => {
            "[acme] dns = { hook = [\"…\"] }, or tls = \"internal\" for a local name"
        }
        HostPattern::Wildcard(_) => "[acme] dns = { hook = [\"…\"] }, or certificates from files",
        HostPattern::Exact(_) => "tls = \"internal\", or certificates from files",
    };
    let has_files = !settings.certificates.is_empty();
    let is_default = *name == HostPattern::Default;
    // Who serves every host serves those that have a certificate over TLS, and the rest in cleartext.
    let dns = settings.acme.dns.is_some();
    let has_others =
        (site.hosts.iter()).any(|host| tls.issuer(&host.pattern, dns) != Issuer::Nobody);
    if is_default && has_others {
        return;
    }
    let diagnostic = match tls.source {
        SiteCertificate::Acme if is_default && settings.acme.on_demand.is_some() => return,
        SiteCertificate::Acme => {
            Diagnostic::new(Code::CannotCertify, tls.origin, missing).cause(of_acme)
        }
        SiteCertificate::Internal => Diagnostic::new(Code::CannotCertify, tls.origin, missing)
            .cause("not even the internal authority issues a certificate for every name"),
        SiteCertificate::Files if !has_files => {
            Diagnostic::new(Code::CannotCertify, tls.origin, missing)
                .cause("there is no entry of `certificates`")
        }
        SiteCertificate::Auto if !has_files => {
            let has_other = is_default && (settings.acme.on_demand.is_some() || !is_written);
            if has_other {
                return;
            }
            Diagnostic::new(Code::NoCertificate, host.origin, missing).cause(of_acme)
        }
        SiteCertificate::Files | SiteCertificate::Auto | SiteCertificate::Off => return,
    };
    let diagnostic = diagnostic.label("handshakes would be refused").help(help);
    report.push(if diagnostic.origin.same_place(host.origin) {
        diagnostic
    } else {
        diagnostic.related(host.origin, "needed for this host")
    });
}

/// Whether the authority can reach the challenges that it will ask for.
fn challenges(settings: &Settings, report: &mut Report) {
    let is_certain = |site: &&Site| match site.tls.source {
        SiteCertificate::Acme => true,
        SiteCertificate::Auto => settings.certificates.is_empty(),
        _ => false,
    };
    let needs_challenge = |site: &&Site| {
        let is_served = settings
            .listeners
            .iter()
            .any(|listener| listener.is_tls() && site.is_on(&listener.name));
        is_served
            && site.hosts.iter().any(|host| {
                matches!(host.pattern, HostPattern::Exact(_))
                    && site.tls.issuer(&host.pattern, false) == Issuer::Acme
            })
    };
    let acme = &settings.acme;
    let mut sites = settings.sites.iter().filter(is_certain);
    let Some(site) = sites.find(needs_challenge) else {
        return;
    };
    let on_port = |tls: bool, port: u16| {
        settings.listeners.iter().any(|listener| {
            listener.is_http()
                && listener.is_tls() == tls
                && listener
                    .addresses
                    .iter()
                    .any(|address| address.port() == port)
        })
    };
    let (http, alpn) = (on_port(false, 80), on_port(true, 443));
    let problem = match acme.challenge {
        Challenge::Http01 if !http => "http-01 is asked for on port 80, in cleartext",
        Challenge::TlsAlpn01 if !alpn => "tls-alpn-01 is asked for on port 443",
        Challenge::Auto if !http && !alpn && acme.dns.is_none() => {
            "http-01 is asked for on port 80 and tls-alpn-01 on port 443"
        }
        _ => return,
    };
    report.push(
        Diagnostic::new(
            Code::UnreachableChallenge,
            site.tls.origin,
            format!("no listener answers the challenge for `{}`", site.name),
        )
        .cause(problem)
        .help("a listener on that port, [acme] dns, or certificates from files; nothing to do if another port is forwarded there"),
    );
}

fn protocol(upstream: &Upstream, report: &mut Report) {
    if upstream.protocol != Protocol::Http1 && upstream.proxy_protocol.is_some() {
        let message = format!(
            "the upstream `{}` cannot have both HTTP/2 and the PROXY protocol",
            upstream.name
        );
        report.push(
            Diagnostic::new(Code::ConflictingKeys, upstream.origin, message)
                .cause("requests of many clients share a connection of HTTP/2, and its head names one client")
                .help("protocol = \"h1\", or remove `proxy_protocol`"),
        );
    }
}

fn passes_through_twice(listener: &Listener, settings: &Settings, report: &mut Report) {
    let Mode::TlsPassthrough(routes) = &listener.mode else {
        return;
    };
    for (host, name) in routes {
        let Some(tls) = settings
            .upstream(name)
            .and_then(|upstream| upstream.tls.as_ref())
        else {
            continue;
        };
        let message = format!("TLS for `{host}` would be wrapped in TLS");
        report.push(
            Diagnostic::new(Code::ConflictingKeys, listener.origin, message)
                .label("passes TLS through as it is")
                .related(
                    tls.origin,
                    format!("the upstream `{name}` is spoken to by TLS"),
                )
                .help("an upstream of its own without `tls`"),
        );
    }
}

#[cfg(test)]
mod tests;
