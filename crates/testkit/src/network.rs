//! A network in which packets can be made to vanish: a backend's machine behind a router that forgets its way.

use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// Two network namespaces, removed when dropped: a router, and behind it a machine on which backends can be started.
#[derive(Debug)]
pub struct Network {
    router: String,
    far: String,
    link: String,
    address: Ipv4Addr,
}

impl Network {
    /// Makes one.
    ///
    /// # Errors
    /// Why there can't be one here: it needs root and the program `ip`.
    pub fn make() -> Result<Network, String> {
        static MADE: AtomicU8 = AtomicU8::new(0);
        let (pid, number) = (std::process::id(), MADE.fetch_add(1, Ordering::SeqCst));
        let tag = format!("{:x}{number:x}", pid & 0xffff);
        // Every network of every process has a /29 of its own, as far as there are any.
        let third = (pid as u8).wrapping_mul(31).wrapping_add(number);
        let at = |last: u8| Ipv4Addr::new(10, 214, third, last);
        let network = Network {
            router: format!("fgtr{tag}"),
            far: format!("fgtb{tag}"),
            link: format!("fgtv{tag}"),
            address: at(6),
        };
        network.lay([at(1), at(2), at(5)])?;
        Ok(network)
    }

    fn lay(&self, [near, router_near, router_far]: [Ipv4Addr; 3]) -> Result<(), String> {
        let Network {
            router,
            far,
            link,
            address,
        } = self;
        ip(&format!("netns add {router}"))?;
        ip(&format!("netns add {far}"))?;
        ip(&format!(
            "link add {link} type veth peer name near netns {router}"
        ))?;
        ip(&format!(
            "-n {router} link add far type veth peer name only netns {far}"
        ))?;
        ip(&format!("addr add {near}/30 dev {link}"))?;
        ip(&format!("-n {router} addr add {router_near}/30 dev near"))?;
        ip(&format!("-n {router} addr add {router_far}/30 dev far"))?;
        ip(&format!("-n {far} addr add {address}/30 dev only"))?;
        ip(&format!("link set dev {link} up"))?;
        for (namespace, device) in [
            (router, "near"),
            (router, "far"),
            (far, "only"),
            (far, "lo"),
        ] {
            ip(&format!("-n {namespace} link set dev {device} up"))?;
        }
        let forwards = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        run(Command::new("ip").args(["netns", "exec", router, "sh", "-c", forwards]))?;
        ip(&format!("-n {far} route add default via {router_far}"))?;
        ip(&format!("route add {address}/32 via {router_near}"))
    }

    /// The address of the machine behind the router.
    pub fn address(&self) -> IpAddr {
        self.address.into()
    }

    /// What stands before a command that is to run there.
    pub fn within(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.far]
    }

    /// From now on the router drops what is meant for that machine, and tells nobody.
    ///
    /// # Panics
    /// When it does not obey.
    pub fn swallow(&self) {
        ip(&format!(
            "-n {} route add blackhole {}/32",
            self.router, self.address
        ))
        .expect("the router takes routes");
    }

    /// Ends [`Self::swallow`].
    ///
    /// # Panics
    /// When it does not obey.
    pub fn pass_on(&self) {
        ip(&format!(
            "-n {} route del blackhole {}/32",
            self.router, self.address
        ))
        .expect("the router takes routes");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was never made can't be removed.
        let _ = ip(&format!("link del {}", self.link));
        let _ = ip(&format!("netns del {}", self.router));
        let _ = ip(&format!("netns del {}", self.far));
    }
}

fn ip(words: &str) -> Result<(), String> {
    run(Command::new("ip").args(words.split(' ')))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
    }
}
