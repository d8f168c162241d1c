//! Endpoints as files, Consul and Docker tell of them: anything is read or refused, and what is read has bounds.

use foregate_upstream::read_anything_discovered;

use crate::Dice;

/// What files and interfaces say of endpoints.
pub fn discovery(input: &[u8]) {
    let (found, has_events) = read_anything_discovered(input);
    assert_eq!(has_events, input.contains(&b'\n'));
    for one in found {
        assert!((1..=65_535).contains(&one.weight), "{one:?}");
        let (host, port) = one.authority.rsplit_once(':').expect("host:port");
        assert!(
            !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0),
            "{one:?}"
        );
        assert_eq!(one.address, None, "only name servers tell addresses");
    }
}

const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\n",
    "#",
    " ",
    "10.0.0.1:80",
    "\"[::1]:81\"",
    "a.b:82 weight=3",
    "null",
    "70000",
    "-1",
    "\"address\":\"a:1\"",
    "\"weight\":2",
    "\"endpoints\":[",
    "\"Service\":{\"Address\":\"10.0.0.2\",\"Port\":80}",
    "\"Node\":{\"Address\":\"fd00::1\"}",
    "\"Weights\":{\"Passing\":0}",
    "\"Labels\":{\"foregate.port\":\"90\"}",
    "\"Ports\":[{\"PrivatePort\":80,\"Type\":\"tcp\"}]",
    "\"NetworkSettings\":{\"Networks\":{\"a\":{\"IPAddress\":\"172.17.0.2\"}}}",
    "\"Status\":\"Up (unhealthy)\"",
];

/// Mostly whole lists with something odd in them, sometimes pieces in any order.
pub(crate) fn generate(dice: &mut Dice) -> Vec<u8> {
    let mut text = String::new();
    if dice.one_in(3) {
        for _ in 0..dice.below(40) {
            text.push_str(PIECES[dice.below(PIECES.len())]);
        }
        return text.into_bytes();
    }
    text.push('[');
    for number in 0..dice.below(6) {
        if number > 0 {
            text.push(',');
        }
        text.push('{');
        for place in 0..dice.below(5) {
            if place > 0 {
                text.push(',');
            }
            text.push_str(PIECES[16 + dice.below(PIECES.len() - 16)]);
        }
        text.push('}');
    }
    text.push(']');
    text.into_bytes()
}
