//! `congestion_control` of listeners and upstreams.

use crate::Origin;
use crate::diagnostic::{Code, Diagnostic, Report, quoted};
use crate::fields::Fields;
use crate::keys::{self, Default, Key, Kind, key};
use crate::settings::CongestionControl;

const KINDS: &[Kind] = &[
    Kind::Choice(&[
        (
            "auto",
            "`reno` at loopback addresses, where to space packets serves nothing and takes time; elsewhere as `system`",
        ),
        (
            "system",
            "the machine's choice, `net.ipv4.tcp_congestion_control`",
        ),
    ]),
    Kind::Text(&keys::CONGESTION_CONTROL),
];

pub(super) const KEY: Key = key(
    "congestion_control",
    Kind::Either(KINDS),
    Default::Text("auto"),
    "By what rule the system sends, and takes losses: a congestion control that the kernel has, such as `bbr` or `cubic`. One \
     that it lacks, or keeps for root, is refused at start and reload. A change holds for new connections.",
);

pub(super) fn read(fields: &Fields<'_>, report: &mut Report) -> CongestionControl {
    fields.text(KEY.name, report, parse)
}

fn parse(text: &str, origin: Origin, report: &mut Report) -> Option<CongestionControl> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match text {
        "auto" => Some(CongestionControl::Auto),
        "system" => Some(CongestionControl::System),
        name if (1..=15).contains(&name.len()) && name.bytes().all(is_part) => {
            Some(CongestionControl::Named(name.to_owned()))
        }
        other => {
            let message = format!("{} is not a congestion control", quoted(other));
            report.push(
                Diagnostic::new(Code::BadValue, origin, message)
                    .cause("the kernel's have names of 1 to 15 letters, digits, `_` and `-`")
                    .help("\"auto\", \"system\", or one of `cat /proc/sys/net/ipv4/tcp_available_congestion_control`"),
            );
            None
        }
    }
}
