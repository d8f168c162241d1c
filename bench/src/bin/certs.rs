//! Certificates for a run: `certs --out DIR [--many N]`, ECDSA P-256 all of them, new keys each time.
//!
//! - `ca.pem`: what the load generator trusts,
//! - `bench.pem`, `bench.key`: for `bench.example` and every name below it; `bench-both.pem` has both in one file,
//! - with `--many`: `many/h<n>.pem`, `many/h<n>.key` for `h<n>.bench.example`; and `many-both/h<n>.pem`.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use foregate_bench::options::Options;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};

fn explained(what: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", what.display())
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| explained(file, error))
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "bench root");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

/// Certificate and key of some names, as PEM.
fn leaf(
    authority: &CertifiedIssuer<'static, KeyPair>,
    names: Vec<String>,
) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn run(out: &Path, many: usize) -> Result<(), String> {
    let directory = |path: &Path| fs::create_dir_all(path).map_err(|error| explained(path, error));
    directory(out)?;
    let authority = authority().map_err(|error| error.to_string())?;
    write(&out.join("ca.pem"), &authority.pem())?;
    let names = ["bench.example", "*.bench.example", "localhost"];
    let names = names.map(str::to_owned).to_vec();
    let (certificate, key) = leaf(&authority, names).map_err(|error| error.to_string())?;
    write(&out.join("bench.pem"), &certificate)?;
    write(&out.join("bench.key"), &key)?;
    write(&out.join("bench-both.pem"), &format!("{certificate}{key}"))?;
    if many == 0 {
        return Ok(());
    }
    let (pairs, both) = (out.join("many"), out.join("many-both"));
    directory(&pairs)?;
    directory(&both)?;
    for number in 0..many {
        let name = format!("h{number}.bench.example");
        let (certificate, key) = leaf(&authority, vec![name]).map_err(|error| error.to_string())?;
        write(&pairs.join(format!("h{number}.pem")), &certificate)?;
        write(&pairs.join(format!("h{number}.key")), &key)?;
        let file = both.join(format!("h{number}.pem"));
        write(&file, &format!("{certificate}{key}"))?;
    }
    Ok(())
}

fn main() -> Result<(), String> {
    let mut options = Options::parse(std::env::args().skip(1))?;
    let out: String = options.optional("out")?.ok_or("--out directory: needed")?;
    let many = options.or("many", 0)?;
    options.finish()?;
    run(Path::new(&out), many)
}
