//! **Purpose:** certificates that are issued and renewed by themselves: ACME, the internal CA, the state folder.
//! **Never knows:** sockets of clients, routes, how certificates are served.
//! **Next on the road:** `server`, which hands what is issued to the certificate store of `tls`.
#![forbid(unsafe_code)]
