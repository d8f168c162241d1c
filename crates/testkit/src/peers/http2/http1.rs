//! What the HTTP/2 backend says to whoever agreed on HTTP/1.1 in the handshake: the same, as far as it can.

use super::{Http2Reply, Http2Request, Script, Seen};
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// Answers requests until the connection ends.
pub(super) async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    seen: &Seen,
    script: &Script,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, connection).await? {
        let answer = script(&request);
        seen.requests.lock().expect("no panic").push(request);
        let Http2Reply::Whole {
            status,
            fields,
            body,
            ..
        } = answer
        else {
            return Ok(());
        };
        let mut head = format!(
            "HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.write_all(&body).await?;
        stream.flush().await?;
    }
    Ok(())
}

async fn read(
    stream: &mut (impl AsyncBufReadExt + Unpin),
    connection: usize,
) -> io::Result<Option<Http2Request>> {
    let malformed = || io::Error::from(io::ErrorKind::InvalidData);
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let [method, path, _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(malformed());
    };
    let mut request = Http2Request {
        method: method.to_owned(),
        scheme: String::new(),
        authority: String::new(),
        path: path.to_owned(),
        protocol: None,
        fields: Vec::new(),
        body: Vec::new(),
        trailers: Vec::new(),
        connection,
        http1: true,
    };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(malformed)?;
        let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        request.fields.push((name, value));
    }
    let length = request.field("content-length").unwrap_or("0");
    request.body = vec![0; length.parse().map_err(|_| malformed())?];
    stream.read_exact(&mut request.body).await?;
    Ok(Some(request))
}
