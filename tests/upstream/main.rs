//! Stories about the way to backends: pools, failover, balancing, ejection, back-pressure, cancellation.

mod back_pressure;
mod balancing;
mod cancellation;
mod ejection;
mod failover;
mod grpc_web;
mod long_bodies;
mod pooling;
mod shared_bound;
