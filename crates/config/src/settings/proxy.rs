//! Settings without a configuration file.

use super::{Action, HostPattern, Mode, Server, ServerAddress, Settings, SiteHost};
use crate::Origin;
use crate::diagnostic::Report;
use crate::sections;
use crate::tree::Node;
use std::net::{IpAddr, SocketAddr};

impl Settings {
    /// Settings of a proxy from the addresses `listen` to the servers `to` for every host: one listener `public`, one
    /// upstream `app`, a site `*`, every other default of the reference, and no admin listener (set
    /// [`Settings::admin`] for one). Without `listen` it listens where the reference says; without `to` every request
    /// is answered with 503.
    pub fn proxy(listen: &[SocketAddr], to: &[ServerAddress]) -> Self {
        // What is missing in an empty configuration is put in below.
        let report = &mut Report::default();
        let (mut settings, _) = sections::read(&Node::empty_table(Origin::NOWHERE), &[], report);
        let mut upstream = sections::read_upstream("app", sections::absent_upstream(), &[], report);
        upstream.servers = to
            .iter()
            .map(|address| Server::plain(address.clone(), Origin::NOWHERE))
            .collect();
        let action = Action::Proxy(sections::proxy_to(&upstream));
        let route = sections::plain_route(
            "default",
            Origin::NOWHERE,
            action,
            settings.client.body_bytes_max,
        );
        settings.sites = vec![sections::plain_site(vec![route])];
        settings.upstreams = vec![upstream];
        settings.admin = None;
        if let (Some(listener), false) = (settings.listeners.first_mut(), listen.is_empty()) {
            listener.addresses = listen.to_vec();
            listener.implied = false;
        }
        settings
    }

    /// Has every listener speak TLS. The sites are served for `localhost` and the listeners' own addresses, too, which
    /// the internal authority issues certificates for.
    pub fn speak_tls(&mut self) {
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        for listener in &mut self.listeners {
            if let Mode::Http { tls, .. } = &mut listener.mode {
                *tls = true;
            }
            let named = listener.addresses.iter().map(SocketAddr::ip);
            hosts.extend(named.filter(|ip| !ip.is_unspecified()).map(|ip| match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            }));
        }
        hosts.dedup();
        for site in &mut self.sites {
            for host in &hosts {
                let pattern = HostPattern::Exact(host.clone());
                if site.hosts.iter().all(|known| known.pattern != pattern) {
                    site.hosts.push(SiteHost {
                        pattern,
                        origin: Origin::NOWHERE,
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::settings::{LogFormat, LogTarget};
    use crate::{Format, MemoryFiles, parse_str};

    #[test]
    fn a_proxy_is_what_the_same_configuration_would_be() {
        let text = "
            [listeners.public]
            addresses = ['127.0.0.1:8080']
            [admin]
            enabled = false
            [sites.'*']
            upstream = 'app'
            [upstreams.app]
            servers = ['127.0.0.1:3000', 'localhost:3001']";
        let written = parse_str("x.toml", text, Format::Toml, &MemoryFiles::default())
            .settings
            .unwrap();
        let to = [
            "127.0.0.1:3000".parse().unwrap(),
            "localhost:3001".parse().unwrap(),
        ];
        let meant = Settings::proxy(&["127.0.0.1:8080".parse().unwrap()], &to);
        assert_eq!(meant, written);
        let mut secure = meant.clone();
        secure.speak_tls();
        assert!(secure.listeners[0].is_tls());
        let hosts: Vec<String> = (secure.sites[0].hosts.iter())
            .map(|host| host.pattern.to_string())
            .collect();
        assert_eq!(hosts, ["*", "localhost", "127.0.0.1"]);
        let log = meant.access_log.unwrap();
        assert_eq!(
            (log.to, log.format),
            (LogTarget::Stdout, LogFormat::Combined)
        );
    }
}
