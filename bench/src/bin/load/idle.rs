//! Many quiet keep-alive connections, for the memory that each costs a proxy.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use foregate_bench::poll::{Interest, Poll};

use crate::client::{Client, Progress};
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
    for index in 0..count {
        let client = one_request(plan, index, &mut scratch)
            .map_err(|error| format!("idle connection {index}: {error}"))?;
        clients.push(client);
    }
    println!("{{\"held\": {count}}}");
    std::io::stdout()
        .flush()
        .map_err(|error| error.to_string())?;
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // A quiet open socket would block; an end of stream or an error is a connection that the proxy gave up.
    let open = clients
        .iter()
        .filter(|client| {
            client
                .socket
                .peek(&mut [0])
                .is_err_and(|error| foregate_bench::poll::would_block(&error))
        })
        .count();
    println!("{{\"held\": {count}, \"open\": {open}}}");
    Ok(())
}

fn one_request(plan: &Plan, index: usize, scratch: &mut [u8]) -> Result<Client, String> {
    let mut client =
        Client::connect(&plan.to, Instant::now()).map_err(|error| error.to_string())?;
    let exchange = index % plan.exchanges.len();
    client
        .begin(plan, exchange, Instant::now(), true)
        .map_err(|fault| fault.name().to_owned())?;
    let mut poll = Poll::new(1).map_err(|error| error.to_string())?;
    poll.add(&client.socket, 0, Interest::Read)
        .map_err(|error| error.to_string())?;
    loop {
        let ready = poll
            .wait(Some(ANSWER_TIMEOUT))
            .map_err(|error| error.to_string())?;
        if ready == 0 {
            return Err("no answer".to_owned());
        }
        match client
            .read(plan, scratch)
            .map_err(|fault| fault.name().to_owned())?
        {
            Progress::Pending => {}
            Progress::Done => return Ok(client),
            Progress::DoneAndClosing => return Err("the proxy closes after one request".to_owned()),
        }
    }
}
