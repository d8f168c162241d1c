//! Describe: what the backend will see of the request.

use crate::Road;
use crate::exchange::Exchange;
use crate::plan::Plan;
use crate::secure;
use foregate_message::path::Normal;
use foregate_message::{FieldId, Fields, Method, Peer, Reason, RequestHead, Target, TargetForm};
use foregate_message::{forwarded, hop, reads_alike};
use foregate_policy::client_address::Origin;
use foregate_policy::header_rules::{HeaderRules, is_misspelled};
use foregate_policy::method;
use foregate_policy::request_id::RequestId;
use foregate_policy::rewrite::Rewritten;
use foregate_snapshot::Snapshot;
use std::net::IpAddr;

/// The id that a trusted peer gave the request, else a new one.
pub(crate) fn request_id(plan: &Plan, road: &Road, peer: &Peer, fields: &Fields) -> RequestId {
    let incoming = match &plan.snapshot.request_id {
        Some(name) if peer.is_trusted() => fields.all_named(name).next(),
        _ => None,
    };
    RequestId::choose(incoming, peer.is_trusted(), road.random.next_wide())
}

/// The client and how it came, as far as trusted proxies say.
#[inline]
pub(crate) fn origin(plan: &Plan, peer: &Peer, fields: &Fields) -> Origin {
    let proxies = &plan.snapshot.trusted;
    Origin::of(
        peer.address.ip(),
        peer.scheme,
        peer.is_trusted(),
        fields,
        proxies,
    )
}

/// Turns the client's head into the one that backends get, up to what depends on the endpoint.
pub(crate) fn describe(
    exchange: &mut Exchange,
    peer: &Peer,
    head: &mut RequestHead,
) -> Result<(), Reason> {
    exchange.target = outgoing_target(exchange, head)?;
    let plan = &exchange.plan;
    let snapshot = &plan.snapshot;
    let proxy = exchange.proxy(plan);
    let takes_trailers = hop::takes_trailers(&head.fields);
    // Facts are read before the fields change under them.
    let facts = (!proxy.request_rules.is_empty()).then(|| exchange.facts(peer, head));
    hop::strip(&mut head.fields);
    if exchange.expects_continue {
        // Consent is the backend's to give (RFC 9110 §10.1.1).
        head.fields.append(FieldId::Expect, b"100-continue");
    }
    if takes_trailers {
        head.fields.append(FieldId::Te, b"trailers");
    }
    let fields = &mut head.fields;
    if head.method == Method::Options {
        method::count_hop(fields);
    }
    let host = &exchange.host;
    let (policy, proxies) = (&snapshot.forwarding, &snapshot.trusted);
    let is_proxy = |address: IpAddr| proxies.contains(address);
    forwarded::describe(fields, policy, peer, host, head.version, is_proxy);
    secure::describe(exchange, peer, &mut head.fields);
    remove_misspelled(&mut head.fields, snapshot, &proxy.request_rules);
    if let Some(name) = &snapshot.request_id {
        head.fields.set_named(name, exchange.request_id.as_bytes());
    }
    if let Some(facts) = facts {
        let mut scratch = Vec::new();
        let facts = facts.of(exchange.request_id.as_bytes());
        proxy
            .request_rules
            .apply(&mut head.fields, &facts, &mut scratch);
    }
    exchange.has_host = head.fields.has(FieldId::Host);
    Ok(())
}

/// Removes what passes for a field that is the gateway's to write or to take away, or for one that frames the body, at backends
/// that read `_` in its name as `-`.
#[inline]
pub(crate) fn remove_misspelled(fields: &mut Fields, snapshot: &Snapshot, rules: &HeaderRules) {
    let framing = [FieldId::ContentLength, FieldId::TransferEncoding];
    fields.remove_unknown(|name| {
        name.contains(&b'_')
            && (framing
                .iter()
                .any(|id| reads_alike(name, id.as_str().as_bytes()))
                || (snapshot.request_id.as_ref()).is_some_and(|id| is_misspelled(name, id))
                || rules.is_evaded_by(name))
    });
}

/// What goes into the request line, when it isn't what came: the rewritten path, or the normal form where a backend
/// could read the received one differently, and never an authority.
fn outgoing_target(exchange: &Exchange, head: &RequestHead) -> Result<Option<Vec<u8>>, Reason> {
    let proxy = exchange.proxy(&exchange.plan);
    if exchange.normal == Normal::Verbatim
        && proxy.rewrite.is_keep()
        && matches!(head.target().first(), Some(b'/' | b'*'))
    {
        return Ok(None);
    }
    let target = Target::parse(&head.method, head.target()).map_err(Reason::Request)?;
    // It asks about the server, which no path is a part of.
    let asks_server = head.method == Method::Options && names_server(&target, head.target());
    if asks_server || target.form == TargetForm::Asterisk {
        return Ok(Some(b"*".to_vec()));
    }
    let matched = exchange.matched(target.path);
    let mut out = Vec::with_capacity(head.target().len() + 16);
    let path = match proxy.rewrite.apply(matched, &mut out)? {
        Rewritten::Changed => None,
        Rewritten::Unchanged if exchange.normal == Normal::Changed => Some(matched),
        Rewritten::Unchanged => Some(target.path),
    };
    if let Some(path) = path {
        out.clear();
        out.extend_from_slice(path);
    }
    if let Some(query) = target.query {
        out.push(b'?');
        out.extend_from_slice(query);
    }
    Ok(Some(out))
}

/// Whether a target in absolute form ends with its authority, which for OPTIONS means the whole server (RFC 9112 §3.2.4). A
/// path that normalises to `/` means something else.
fn names_server(target: &Target<'_>, raw: &[u8]) -> bool {
    let slashes = raw.iter().filter(|&&byte| byte == b'/').count();
    // Those of `http://`.
    target.form == TargetForm::Absolute && target.query.is_none() && slashes == 2
}
