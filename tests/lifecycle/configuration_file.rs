//! Which configuration is taken: the one that is named, else `./foregate.toml`, else `/etc/foregate/foregate.toml`.

use foregate_testkit::{Process, Scratch, Signal};

/// Gives what follows an `/etc` of its own, in which there is nothing but the files of a folder, under `foregate`.
const WITH_ETC: &str = r#"
[ "$(id -u)" = 0 ] || own=--map-root-user
exec unshare $own --mount sh -e -c '
    mount -t tmpfs none /etc
    cp -r "$1" /etc/foregate
    shift
    exec "$@"
' sh "$@"
"#;

/// A configuration whose only listener has this name.
fn configuration(listener: &str) -> String {
    format!(
        "[listeners.{listener}]\naddress = \"127.0.0.1:0\"\n[admin]\nenabled = false\n[access_log]\nto = \"off\"\n\
         [[sites.\"*\".routes]]\nrespond = {{ status = 200 }}\n"
    )
}

/// A machine with these files in its `/etc/foregate` and in the working directory.
struct Machine {
    etc: Scratch,
    here: Scratch,
}

impl Machine {
    fn with(etc: Option<&str>, here: Option<&str>) -> Machine {
        let machine = Machine {
            etc: Scratch::new(),
            here: Scratch::new(),
        };
        for (folder, listener) in [(&machine.etc, etc), (&machine.here, here)] {
            if let Some(listener) = listener {
                folder.write("foregate.toml", configuration(listener));
            }
        }
        machine
    }

    fn run(&self, arguments: &[&str]) -> Process {
        let etc = self.etc.path().display().to_string();
        let within = ["sh", "-c", WITH_ETC, "sh", &etc].map(str::to_owned);
        Process::spawn_within(&within, arguments, Some(self.here.path()))
    }

    /// Starts the gateway, which has to listen as one of the files says and nowhere else.
    fn listens(&self, arguments: &[&str], listener: &str) {
        let mut process = self.run(arguments);
        let stdout = process.wait_stdout("ready\n");
        let lines: Vec<_> = stdout.lines().collect();
        let [listening, "ready"] = lines[..] else {
            panic!("{arguments:?}: {stdout}");
        };
        let expected = format!("listening {listener} 127.0.0.1:");
        assert!(listening.starts_with(&expected), "{stdout}");
        process.signal(Signal::Term);
        assert_eq!(process.wait_exit().code(), Some(0));
    }
}

#[test]
fn the_file_in_the_working_directory_goes_before_that_in_etc() {
    Machine::with(Some("there"), Some("here")).listens(&["run"], "here");
    Machine::with(None, Some("here")).listens(&["run"], "here");
}

#[test]
fn the_file_in_etc_is_taken_where_there_is_no_other() {
    Machine::with(Some("there"), None).listens(&["run"], "there");
}

#[test]
fn a_file_that_is_named_goes_before_both() {
    let machine = Machine::with(Some("there"), Some("here"));
    machine.here.write("named.toml", configuration("named"));
    machine.listens(&["run", "-c", "named.toml"], "named");
}

/// Whoever has broken the nearer file gets to know it, and not the service of another one.
#[test]
fn a_broken_file_is_not_passed_over_for_the_next() {
    let machine = Machine::with(Some("there"), None);
    machine.here.write("foregate.toml", "[sites");
    let run = machine.run(&["run"]).end();
    assert_eq!((run.code, &*run.stdout), (Some(2), ""));
    assert!(run.stderr.contains("foregate.toml:1:"), "{}", run.stderr);
}

#[test]
fn without_any_the_places_are_named() {
    let machine = Machine::with(None, None);
    let run = machine.run(&["run"]).end();
    assert_eq!((run.code, &*run.stdout), (Some(2), ""));
    let places = "neither ./foregate.toml nor /etc/foregate/foregate.toml";
    assert!(run.stderr.contains(places), "{}", run.stderr);
    assert!(run.stderr.contains("-c FILE"), "{}", run.stderr);
}
