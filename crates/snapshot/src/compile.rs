//! From settings to a snapshot.

use crate::plan::{AdminPlan, AdminSocketPlan, ClientPlan, HistoryPlan, Snapshot};
use crate::{access_log, listeners, overload, routes, tls, upstreams};
use foregate_config::settings::{
    Admin, Backslash, BodyRate, Client, DotSegments, DuplicateSlashes, EncodedSlash,
    PathParameters, Paths, ServerHeader as ServerSetting, Workers,
};
use foregate_config::{Code, Diagnostic, Origin, Settings, settings};
use foregate_message::FieldName;
use foregate_message::forwarded::ForwardingPolicy;
use foregate_message::path::{PathPolicy, Treatment};
use foregate_policy::anonymise::ServerHeader;
use foregate_policy::client_address::Networks;

/// Compiles a configuration for a fresh start.
///
/// # Errors
/// Everything that can't be compiled, at the place where it was written.
pub fn compile(settings: &Settings) -> Result<Snapshot, Vec<Diagnostic>> {
    compile_from(settings, None)
}

/// Compiles a configuration that follows `previous` at a reload: listeners keep their numbers.
///
/// # Errors
/// Everything that can't be compiled, at the place where it was written.
pub fn compile_after(
    settings: &Settings,
    previous: &Snapshot,
) -> Result<Snapshot, Vec<Diagnostic>> {
    compile_from(settings, Some(previous))
}

fn compile_from(
    settings: &Settings,
    previous: Option<&Snapshot>,
) -> Result<Snapshot, Vec<Diagnostic>> {
    let mut diagnostics = Vec::new();
    let (listeners, next_listener) = listeners::compile(&settings.listeners, previous);
    let upstreams = upstreams::compile(settings, &mut diagnostics);
    let routes = routes::compile(settings, &listeners, &upstreams, &mut diagnostics);
    let request_id = request_id(&settings.forwarding, &mut diagnostics);
    let server_header = server_header(&settings.forwarding, &mut diagnostics);
    let (Some(routes), true) = (routes, diagnostics.is_empty()) else {
        return Err(diagnostics);
    };
    Ok(Snapshot {
        listeners,
        certificate_fields: tls::certificate_fields(routes.sites.iter().map(|site| &*site.tls)),
        sites: routes.sites,
        routes: routes.plans,
        upstreams,
        client: client(&settings.client),
        overload: overload::compile(&settings.overload),
        paths: paths(settings.paths),
        forwarding: ForwardingPolicy {
            x_forwarded: settings.forwarding.x_forwarded,
            forwarded: settings.forwarding.forwarded,
            via: settings.forwarding.via.as_deref().map(Into::into),
        },
        trusted: Networks::new(&settings.forwarding.trusted_proxies),
        request_id,
        server_header,
        access_log: settings.access_log.as_ref().map(access_log::compile),
        log_level: settings.log.level,
        admin: settings.admin.as_ref().map(admin),
        workers: match settings.workers {
            Workers::Auto => None,
            Workers::Count(count) => Some(count),
        },
        drain_timeout: settings.drain_timeout,
        upgrade_drain_timeout: settings.upgrade_drain_timeout,
        router: routes.router,
        specs: routes.specs,
        next_listener,
        tls: tls::tls(&settings.tls),
        certificates: tls::certificates(&settings.certificates),
        acme: tls::acme(&settings.acme),
        state_dir: settings.state_dir.clone(),
    })
}

/// A limit of 32 bits as this machine counts; no machine that this runs on has fewer.
pub(crate) fn size(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

fn admin(admin: &Admin) -> AdminPlan {
    AdminPlan {
        address: admin.address,
        token: admin.token.clone(),
        certificate: (admin.certificate.as_ref()).map(|shown| shown.name.as_str().into()),
        state_file: admin.state_file.as_ref().map(|file| file.path.clone()),
        socket: admin.socket.as_ref().map(|socket| AdminSocketPlan {
            path: socket.file.path.clone(),
            is_for_group: socket.is_for_group,
        }),
        history: HistoryPlan {
            versions_max: admin.history.versions_max,
            bytes_max: admin.history.bytes_max,
            file: (admin.history.file.as_ref()).map(|file| file.path.clone()),
            keeps_applied: admin.history.keeps_applied,
        },
    }
}

fn client(client: &Client) -> ClientPlan {
    // Without a minimum rate the window is of no account.
    let rate = client.body_rate_min.unwrap_or(BodyRate {
        bytes_per_second: 0,
        grace: std::time::Duration::ZERO,
    });
    ClientPlan {
        head_bytes_max: size(client.head_bytes_max),
        fields_max: size(client.fields_max),
        target_bytes_max: size(client.target_bytes_max),
        body_bytes_max: client.body_bytes_max,
        chunk_extension_bytes_max: size(client.chunk_extension_bytes_max),
        trailer_bytes_max: size(client.trailer_bytes_max),
        requests_per_connection_max: client.requests_per_connection_max,
        head_timeout: client.head_timeout,
        idle_timeout: client.idle_timeout,
        body_rate_min: client
            .body_rate_min
            .map(|rate| u64::from(rate.bytes_per_second)),
        body_rate_grace: rate.grace,
        write_timeout: client.write_timeout,
        half_close_timeout: client.half_close_timeout,
        abuse_points_per_minute_max: client.abuse_points_per_minute_max,
        tunnel_idle_timeout: client.tunnel_idle_timeout,
        http2: tls::http2(client.http2),
    }
}

fn paths(paths: Paths) -> PathPolicy {
    PathPolicy {
        encoded_slash: match paths.encoded_slash {
            EncodedSlash::Keep => Treatment::Keep,
            EncodedSlash::Decode => Treatment::Normalize,
            EncodedSlash::Reject => Treatment::Reject,
        },
        backslash: match paths.backslash {
            Backslash::Keep => Treatment::Keep,
            Backslash::Normalize => Treatment::Normalize,
            Backslash::Reject => Treatment::Reject,
        },
        duplicate_slashes: match paths.duplicate_slashes {
            DuplicateSlashes::Keep => Treatment::Keep,
            DuplicateSlashes::Merge => Treatment::Normalize,
            DuplicateSlashes::Reject => Treatment::Reject,
        },
        dot_segments: match paths.dot_segments {
            DotSegments::Normalize => Treatment::Normalize,
            DotSegments::Reject => Treatment::Reject,
        },
        parameters: match paths.parameters {
            PathParameters::Keep => Treatment::Keep,
            PathParameters::Strip => Treatment::Normalize,
            PathParameters::Reject => Treatment::Reject,
        },
    }
}

fn request_id(
    forwarding: &settings::Forwarding,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<FieldName> {
    let text = forwarding.request_id_header.as_deref()?;
    let name = FieldName::new(text);
    if name.is_none() {
        let message = format!("`{text}` is not a field name");
        diagnostics.push(Diagnostic::new(Code::BadHeader, Origin::NOWHERE, message));
    }
    name
}

fn server_header(
    forwarding: &settings::Forwarding,
    diagnostics: &mut Vec<Diagnostic>,
) -> ServerHeader {
    match &forwarding.server_header {
        ServerSetting::Remove => ServerHeader::Remove,
        ServerSetting::Pass => ServerHeader::Pass,
        ServerSetting::Fixed(text) => ServerHeader::fixed(text).unwrap_or_else(|problem| {
            diagnostics.push(Diagnostic::new(
                Code::BadHeader,
                Origin::NOWHERE,
                problem.to_string(),
            ));
            ServerHeader::Remove
        }),
    }
}
