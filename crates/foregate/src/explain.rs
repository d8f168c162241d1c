//! `foregate explain`: what would become of a request, and why.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use foregate_snapshot::{Inquiry, Known};

use crate::failure::Failure;
use crate::source;
use crate::terminal;

/// Explain what would become of a request, and why
///
/// Asks the very code that serves: which listener, site and route, why each better-looking
/// one did not match, what is rewritten, which servers could get it. The request is read as
/// one of HTTP/1.1 with these fields and no others, so limits and malformed requests are told
/// too. Nothing is sent; endpoints are taken for healthy.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Explain {
    /// The request's method, such as GET
    method: String,

    #[arg(help = "The request's URL, such as http://example.com/path?query")]
    url: String,

    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    headers: Vec<(String, String)>,

    /// The address that the connection comes from
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    from: IpAddr,

    /// The listener it comes to; without it the one on the URL's port
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// The configuration; without it ./foregate.toml, then /etc/foregate/foregate.toml
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the explanation as JSON
    #[arg(long)]
    json: bool,
}

fn field(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a field is written `name: value`")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

impl Explain {
    pub(crate) fn execute(self) -> Result<ExitCode, Failure> {
        let path = source::find(self.config)?;
        let loaded = source::compile(&path, None)
            .into_loaded(path.display().to_string(), terminal::errors_in_colour())
            .map_err(|error| Failure::Config(error.text))?;
        let inquiry = Inquiry {
            method: self.method,
            url: self.url,
            headers: self.headers,
            client: self.from,
            listener: self.listener,
            now_ms: 0,
            random: RandomState::new().hash_one(()),
        };
        let known = Known {
            certificates: &|site, host| loaded.credentials.has(site, host),
            ..Known::NOTHING
        };
        let explanation = foregate_snapshot::explain(&loaded.snapshot, &inquiry, known)
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let text = if self.json {
            let json = serde_json::to_string_pretty(&explanation);
            json.map_err(|error| Failure::Failed(error.to_string()))? + "\n"
        } else {
            explanation.to_string()
        };
        terminal::print(&text)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::field;

    #[test]
    fn fields_are_split_at_the_first_colon() {
        let check = |text: &str, name: &str, value: &str| {
            assert_eq!(field(text), Ok((name.to_owned(), value.to_owned())));
        };
        check("X-A: 1", "X-A", "1");
        check("Referer:http://a/b", "Referer", "http://a/b");
        check("X-Empty:", "X-Empty", "");
        assert!(field("X-A").is_err());
    }
}
