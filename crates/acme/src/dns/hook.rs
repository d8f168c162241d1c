//! The hook command: sets and removes TXT records by whatever means the operator has.
//!
//! `COMMAND... present|cleanup NAME VALUE`, without a shell; the same in FOREGATE_ACTION, FOREGATE_NAME and
//! FOREGATE_VALUE. It has done its work when it ends with 0.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a hook may run.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// Bytes of a hook's output that are kept for its error; the rest is read and dropped.
const OUTPUT_BYTES_MAX: usize = 2_000;
/// How long the rest of what a hook said is waited for once it has ended: what it left running may hold its output open.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// Ends a hook and whatever it has started, if it is still there.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may be gone already, which is what is wanted.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

pub(super) async fn run(
    argv: &[String],
    action: &str,
    name: &str,
    value: &str,
    patience: Duration,
) -> Result<(), String> {
    let (program, arguments) = argv.split_first().ok_or("the hook names no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .args([action, name, value])
        .env("FOREGATE_ACTION", action)
        .env("FOREGATE_NAME", name)
        .env("FOREGATE_VALUE", value)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    let mut group = Group(
        child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw),
    );
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let ended = {
        let mut reading = pin!(async {
            tokio::join!(drain(stdout, &mut out), drain(stderr, &mut err));
        });
        let mut is_read = false;
        let ended = timeout(patience, async {
            loop {
                tokio::select! {
                    status = child.wait() => break status,
                    () = &mut reading, if !is_read => is_read = true,
                }
            }
        });
        let ended = ended.await;
        if ended.is_ok() && !is_read {
            let _ = timeout(OUTPUT_TIMEOUT, reading).await;
        }
        ended
    };
    let said = [out, err].concat();
    let said = String::from_utf8_lossy(&said);
    let said = match said.trim() {
        "" => "it said nothing",
        said => said,
    };
    let Ok(status) = ended else {
        let seconds = patience.as_secs();
        return Err(format!(
            "{program} {action} took longer than {seconds} s and was ended: {said}"
        ));
    };
    let status = status.map_err(|error| format!("cannot wait for {program}: {error}"))?;
    if status.success() {
        // A hook may leave something running on purpose.
        group.0 = None;
        return Ok(());
    }
    Err(format!("{program} {action} ended with {status}: {said}"))
}

/// Reads to the end and keeps the beginning.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else {
        return;
    };
    let mut buffer = [0; 4_096];
    while let Ok(length) = pipe.read(&mut buffer).await {
        if length == 0 {
            break;
        }
        let room = OUTPUT_BYTES_MAX - kept.len();
        kept.extend_from_slice(&buffer[..length.min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, patience: Duration) -> Result<(), String> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        run(
            &argv,
            "present",
            "_acme-challenge.a.example",
            "value",
            patience,
        )
        .await
    }

    #[tokio::test(flavor = "current_thread")]
    async fn hooks_get_name_and_value_both_ways() {
        // With `sh -c`, the arguments after the script begin at $0.
        let script = r#"[ "$0 $1 $2" = "present _acme-challenge.a.example value" ] &&
            [ "$FOREGATE_ACTION $FOREGATE_NAME $FOREGATE_VALUE" = "$0 $1 $2" ]"#;
        assert_eq!(sh(script, TIMEOUT).await, Ok(()));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_failing_hook_is_quoted_in_bounds() {
        let error = sh("echo no zone >&2; exit 3", TIMEOUT).await.unwrap_err();
        assert!(
            error.contains("exit status: 3") && error.contains("no zone"),
            "{error}"
        );
        let error = sh("yes | head -c 1000000; exit 1", TIMEOUT)
            .await
            .unwrap_err();
        assert!(error.len() < 3 * OUTPUT_BYTES_MAX, "{}", error.len());
        let argv = ["/no/such/hook".to_owned()];
        let error = run(&argv, "present", "n", "v", TIMEOUT).await.unwrap_err();
        assert!(error.contains("/no/such/hook"), "{error}");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_a_hook_leaves_running_is_not_waited_for() {
        let patience = Duration::from_secs(3);
        assert_eq!(sh("sleep 6 & exit 0", patience).await, Ok(()));
        let error = sh("sleep 6 & echo no zone; exit 3", patience).await;
        assert!(error.unwrap_err().contains("exit status: 3: no zone"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_hook_that_hangs_is_ended_with_its_children() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        // The pipe's end is inherited by the hook and its child; it closes when both are gone.
        rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).unwrap();
        let script = "echo waiting for the zone; sleep 600 & sleep 600";
        let error = sh(script, Duration::from_secs(1)).await.unwrap_err();
        assert!(
            error.contains("took longer") && error.contains("waiting for the zone"),
            "{error}"
        );
        drop(writer);
        let mut reader = tokio::net::unix::pipe::Receiver::from_owned_fd(reader).unwrap();
        let end = timeout(Duration::from_secs(10), reader.read(&mut [0; 1])).await;
        assert_eq!(end.unwrap().unwrap(), 0);
    }
}
