//! Many quiet keep-alive connections, for the memory that each costs a proxy.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foregate_bench::poll::{Interest, Poll, would_block};

use rustls::ClientConfig;

use crate::connection::{Asked, Connection, Fault, Life};
use crate::plan::Plan;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens `count` connections, makes one request on each, reports, waits for the end of stdin, and reports how many
/// the proxy has kept open.
///
/// # Errors
/// A connection or an answer that fails.
pub(crate) fn hold(plan: &Plan, count: usize) -> Result<(), String> {
    let mut clients = Vec::with_capacity(count);
    let mut scratch = vec![0; 64 << 10];
    let tls = plan.tls.as_ref().map(|tls| tls.place());
    for index in 0..count {
        let client = one_request(plan, tls.as_ref(), index, &mut scratch)
            .map_err(|error| format!("idle connection {index}: {error}"))?;
        clients.push(client);
    }
    println!("{{\"held\": {count}}}");
    std::io::stdout()
        .flush()
        .map_err(|error| error.to_string())?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let open = clients
        .iter_mut()
        .filter_map(|client| is_open(client, plan, &mut scratch).then_some(()))
        .count();
    println!("{{\"held\": {count}, \"open\": {open}}}");
    Ok(())
}

/// Whether the proxy has kept a connection: what came since (tickets, windows) is read, until the socket is quiet or
/// has ended.
fn is_open(client: &mut Connection, plan: &Plan, scratch: &mut [u8]) -> bool {
    loop {
        match client.transport.socket.peek(&mut [0]) {
            Err(error) => return would_block(&error),
            Ok(_) => {
                if client.read(plan, scratch, &mut Vec::new()).is_err() {
                    return false;
                }
            }
        }
    }
}

fn one_request(
    plan: &Plan,
    tls: Option<&Arc<ClientConfig>>,
    index: usize,
    scratch: &mut [u8],
) -> Result<Connection, String> {
    let exchange = index % plan.exchanges.len();
    let mut client = Connection::connect(plan, index, tls, &plan.exchanges[exchange].host)
        .map_err(|error| error.to_string())?;
    let asked = Asked {
        exchange,
        due: Instant::now(),
        compared: true,
    };
    client.begin(plan, asked);
    let mut poll = Poll::new(1).map_err(|error| error.to_string())?;
    poll.add(&client.transport.socket, 0, Interest::Read)
        .map_err(|error| error.to_string())?;
    let mut done = Vec::new();
    loop {
        let named = |fault: Fault| fault.name().to_owned();
        client.flush(plan).map_err(named)?;
        let ready = poll
            .wait(Some(ANSWER_TIMEOUT))
            .map_err(|error| error.to_string())?;
        if ready == 0 {
            return Err("no answer".to_owned());
        }
        let life = client.read(plan, scratch, &mut done).map_err(named)?;
        match (done.is_empty(), life) {
            (true, _) => {}
            (false, Life::Open) => return Ok(client),
            (false, Life::Closing) => return Err("the proxy closes after one request".to_owned()),
        }
    }
}
