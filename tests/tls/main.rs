//! Stories about TLS: ended here, spoken to backends, and the certificates for it.

mod backend_names;
mod backends;
mod client_certificates;
mod early_data;
mod files;
mod folders;
mod openssl;
mod redirect;
mod reload;
mod termination;
mod tickets;
mod trust_files;
