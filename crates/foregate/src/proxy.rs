//! `foregate proxy`: a proxy without a configuration file.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use foregate_config::settings::{Admin, History, ServerAddress};
use foregate_config::{Origin, Settings, listen_address};

use crate::failure::Failure;
use crate::run;
use crate::source::FixedSource;
use crate::state;

/// Proxy every host to some servers, without a configuration file
///
/// A request goes to the server with the fewest running ones; among equals each worker takes
/// turns of its own. Everything else is as the defaults of a configuration say.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Proxy {
    /// Where clients connect, such as 127.0.0.1:8080; may be repeated
    #[arg(long, value_name = "IP:PORT", required = true, num_args = 1.., value_parser = listen_address)]
    listen: Vec<SocketAddr>,

    /// A server that requests go to, such as 127.0.0.1:3000 or backend.internal:80; may be repeated
    #[arg(long, value_name = "HOST:PORT", required = true, num_args = 1..)]
    to: Vec<ServerAddress>,

    /// Serve metrics, health and status here; without it there is no admin listener
    #[arg(long, value_name = "IP:PORT", value_parser = listen_address)]
    admin: Option<SocketAddr>,

    /// Speak TLS with clients: `localhost` and the addresses get certificates of an authority
    /// that is made here; `foregate certs root` tells more
    #[arg(long, verbatim_doc_comment)]
    tls: bool,

    /// With --tls: where authority and certificates are kept; without it foregate/ in the user's
    /// own folder for state
    #[arg(long, value_name = "DIR", requires = "tls", verbatim_doc_comment)]
    state_dir: Option<PathBuf>,

    /// Write no access log; without it, a line for every request goes to standard output
    #[arg(long)]
    no_log: bool,
}

impl Proxy {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let settings = self.settings()?;
        run::serve(Box::new(FixedSource::new(settings)))
    }

    fn settings(self) -> Result<Settings, Failure> {
        // Port 0 is a new port each time.
        let fixed: Vec<SocketAddr> = self
            .listen
            .iter()
            .copied()
            .filter(|address| address.port() != 0)
            .collect();
        refuse_twice("--listen", &fixed)?;
        refuse_twice("--to", &self.to)?;
        if let Some(admin) = self
            .admin
            .filter(|admin| !admin.ip().to_canonical().is_loopback())
        {
            return Err(Failure::Usage(format!(
                "--admin {admin} would be open to whoever reaches it: name a loopback address, or write a configuration \
                 with a token and a certificate for it"
            )));
        }
        let mut settings = Settings::proxy(&self.listen, &self.to);
        settings.admin = self.admin.map(|address| Admin {
            origin: Origin::NOWHERE,
            address,
            token: None,
            certificate: None,
            state_file: None,
            socket: None,
            history: History::default(),
        });
        if self.tls {
            settings.speak_tls();
            settings.state_dir = self.state_dir.unwrap_or_else(state::folder);
        }
        if self.no_log {
            settings.access_log = None;
        }
        Ok(settings)
    }
}

/// What a configuration calls `duplicate-address` and `duplicate-server`.
fn refuse_twice<A: Display + PartialEq>(option: &str, addresses: &[A]) -> Result<(), Failure> {
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            return Err(Failure::Usage(format!("{option} {address} is given twice")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(listen: &[&str], to: &[&str]) -> Proxy {
        Proxy {
            listen: listen.iter().map(|text| text.parse().unwrap()).collect(),
            to: to.iter().map(|text| text.parse().unwrap()).collect(),
            admin: None,
            tls: false,
            state_dir: None,
            no_log: false,
        }
    }

    #[test]
    fn options_become_settings() {
        let mut options = proxy(
            &["127.0.0.1:0", "127.0.0.1:0"],
            &["127.0.0.1:1", "localhost:1"],
        );
        options.admin = Some("127.0.0.1:2".parse().unwrap());
        options.no_log = true;
        let settings = options.settings().unwrap();
        assert_eq!(settings.listeners[0].addresses.len(), 2);
        assert_eq!(settings.upstreams[0].servers.len(), 2);
        assert_eq!(settings.admin.map(|admin| admin.address.port()), Some(2));
        assert_eq!(settings.access_log, None);
        let settings = proxy(&["127.0.0.1:1"], &["127.0.0.1:1"])
            .settings()
            .unwrap();
        assert!(settings.admin.is_none() && settings.access_log.is_some());
    }

    #[test]
    fn the_admin_listener_is_on_loopback() {
        let mut options = proxy(&["127.0.0.1:1"], &["127.0.0.1:2"]);
        options.admin = Some("0.0.0.0:3".parse().unwrap());
        let failure = options.settings().unwrap_err();
        assert!(
            matches!(&failure, Failure::Usage(text) if text.contains("loopback")),
            "{failure:?}"
        );
    }

    #[test]
    fn nothing_is_given_twice() {
        for options in [
            proxy(&["127.0.0.1:1", "127.0.0.1:1"], &["127.0.0.1:2"]),
            proxy(&["127.0.0.1:1"], &["Localhost:2", "localhost:2"]),
        ] {
            let failure = options.settings().unwrap_err();
            assert!(
                matches!(&failure, Failure::Usage(text) if text.ends_with("is given twice")),
                "{failure:?}"
            );
        }
    }
}
