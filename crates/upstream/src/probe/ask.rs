//! One probe: a connection of its own, one question, one answer.

use super::{ProbeTarget, grpc};
use crate::call::Call;
use crate::connect::{self, ConnectFault, SocketOptions};
use crate::pool::{Connection, Pool, PoolLimits, Use};
use foregate_balance::{HttpQuestion, ProbeFault, Question};
use foregate_eventloop::grouped;
use foregate_message::{
    BodyLength, Chunk, FieldId, FieldName, Fields, Frame, Reason, RequestHead, ResponseHead,
};
use foregate_telemetry::metrics::{EndpointId, Shard};
use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How much of an answer's body is looked at.
const PROBE_BODY_BYTES_MAX: usize = 64 * 1024;

/// Nobody's address: a probe speaks for no client.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Asks the endpoint once.
///
/// # Errors
/// What was wrong with it.
pub(super) async fn ask(
    target: &ProbeTarget,
    shard: &Arc<Shard>,
    timeout: Duration,
) -> Result<(), ProbeFault> {
    // Whatever a connection has running ends with the probe.
    let asked = grouped(put(target, shard));
    let asked = foregate_eventloop::timeout(timeout, asked).await;
    asked.unwrap_or(Err(ProbeFault::Timeout))
}

async fn put(target: &ProbeTarget, shard: &Arc<Shard>) -> Result<(), ProbeFault> {
    let address = target.address.ok_or(ProbeFault::Unresolved)?;
    let address = SocketAddr::new(address.ip(), target.plan.port.unwrap_or(address.port()));
    match &target.plan.question {
        Question::Tcp => {
            let dialled = connect::connect(
                address,
                SocketOptions::default(),
                None,
                None,
                false,
                NOBODY,
                NOBODY,
            );
            dialled.await.map(drop).map_err(fault)
        }
        Question::Tls => dial(target, address, shard, Use::Bytes).await.map(drop),
        Question::Http(question) => {
            let connection = dial(target, address, shard, Use::Requests).await?;
            http(target, question, connection).await
        }
        Question::Grpc { service } => {
            let connection = dial(target, address, shard, Use::Requests).await?;
            check(target, service, connection).await
        }
    }
}

/// A connection as requests have them, but that it is used once.
async fn dial(
    target: &ProbeTarget,
    address: SocketAddr,
    shard: &Arc<Shard>,
    purpose: Use,
) -> Result<Connection, ProbeFault> {
    let limits = PoolLimits {
        idle_max: 0,
        is_bounded: false,
        ..target.pool_limits
    };
    let endpoint = Arc::clone(&target.endpoint);
    let shard = Arc::clone(shard);
    let pool = Pool::new(
        endpoint,
        Some(address),
        EndpointId::OTHER,
        shard,
        Arc::default(),
        limits,
    );
    pool.set_connector(target.connector.clone());
    let ticket = pool.fresh().ok_or(ProbeFault::Exhausted)?;
    let connected = Pool::connect(ticket, purpose, NOBODY, NOBODY);
    connected.await.map_err(fault)
}

fn fault(fault: ConnectFault) -> ProbeFault {
    match fault {
        ConnectFault::Unresolved => ProbeFault::Unresolved,
        ConnectFault::Exhausted => ProbeFault::Exhausted,
        ConnectFault::Refused | ConnectFault::Failed => ProbeFault::Connect,
        ConnectFault::NoHttp2 => ProbeFault::Protocol,
        ConnectFault::Tls(_) => ProbeFault::Tls,
    }
}

fn broken(reason: Reason) -> ProbeFault {
    match reason {
        Reason::Response(_) | Reason::UpgradeUnasked | Reason::UpstreamProtocol => {
            ProbeFault::Protocol
        }
        _ => ProbeFault::Closed,
    }
}

async fn http(
    target: &ProbeTarget,
    question: &HttpQuestion,
    connection: Connection,
) -> Result<(), ProbeFault> {
    let mut head = RequestHead::with(&question.method, question.target.as_bytes());
    let host = question.host.as_deref();
    let host = host.unwrap_or_else(|| target.endpoint.label());
    head.fields.append(FieldId::Host, host.as_bytes());
    for (name, value) in &question.fields {
        if let Some(name) = FieldName::new(name) {
            head.fields.set_named(&name, value.as_bytes());
        }
    }
    if !head.fields.has(FieldId::UserAgent) {
        head.fields.append(FieldId::UserAgent, b"foregate-probe");
    }
    let mut call = start(target, connection, &head, BodyLength::Empty);
    call.end(None);
    let answer = answer(&mut call).await?;
    let status = answer.status.code();
    let expectation = &question.expectation;
    if !expectation.statuses.contains(status) {
        return Err(ProbeFault::Status(status));
    }
    if let Some(wanted) = &expectation.body {
        let (body, _) = body(&mut call).await?;
        if !wanted.is_in(&body) {
            return Err(ProbeFault::Body);
        }
    }
    Ok(())
}

async fn check(
    target: &ProbeTarget,
    service: &str,
    connection: Connection,
) -> Result<(), ProbeFault> {
    let message = grpc::question(service);
    let mut head = RequestHead::with("POST", grpc::PATH);
    let label = target.endpoint.label();
    head.fields.append(FieldId::Host, label.as_bytes());
    head.fields
        .append(FieldId::ContentType, b"application/grpc");
    head.fields.append(FieldId::Te, b"trailers");
    let length = BodyLength::Known(message.len() as u64);
    let mut call = start(target, connection, &head, length);
    call.send(Chunk::copy_of(&message));
    call.end(None);
    let answer = answer(&mut call).await?;
    if answer.status.code() != 200 {
        return Err(ProbeFault::Status(answer.status.code()));
    }
    // An error without a message has its status in the only head.
    if let Some(status) = grpc::status(&answer.fields).filter(|status| *status != 0) {
        return Err(ProbeFault::GrpcStatus(status));
    }
    let (body, trailers) = body(&mut call).await?;
    match trailers.as_deref().and_then(grpc::status) {
        None | Some(0) => {}
        Some(status) => return Err(ProbeFault::GrpcStatus(status)),
    }
    match grpc::is_serving(&body) {
        Some(true) => Ok(()),
        Some(false) => Err(ProbeFault::NotServing),
        None => Err(ProbeFault::Protocol),
    }
}

fn start(
    target: &ProbeTarget,
    connection: Connection,
    head: &RequestHead,
    length: BodyLength,
) -> Box<Call> {
    let limits = &target.call_limits;
    let call = Call::start(connection, head, head.target(), length, None, limits);
    Box::new(call)
}

/// The final head.
async fn answer(call: &mut Call) -> Result<ResponseHead, ProbeFault> {
    let mut head = ResponseHead::default();
    poll_fn(|cx| {
        loop {
            let _ = call.poll_flush(cx);
            match call.poll_head(cx, &mut head) {
                Poll::Ready(Ok(_)) if head.status.is_interim() => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(broken(reason))),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await?;
    Ok(head)
}

/// The body, as far as it is looked at, and its trailers.
async fn body(call: &mut Call) -> Result<(Vec<u8>, Option<Box<Fields>>), ProbeFault> {
    let mut body = Vec::new();
    while body.len() < PROBE_BODY_BYTES_MAX {
        let frame = poll_fn(|cx| {
            let _ = call.poll_flush(cx);
            call.poll_frame(cx)
        });
        match frame.await.map_err(broken)? {
            Frame::Data(data) => {
                let room = PROBE_BODY_BYTES_MAX - body.len();
                body.extend(data.as_slice().iter().take(room));
            }
            Frame::Trailers(trailers) => return Ok((body, Some(trailers))),
            // Nothing stays in the kernel where nobody allows it.
            Frame::End | Frame::Piped(_) => break,
        }
    }
    Ok((body, None))
}
