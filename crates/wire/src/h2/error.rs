//! What ends a stream or a connection (RFC 9113 §5.4, §7).

use foregate_message::Reason;

/// An error code as it stands in RST_STREAM and GOAWAY (RFC 9113 §7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct ErrorCode(pub u32);

#[allow(missing_docs, reason = "each is the code so named in RFC 9113 §7")]
impl ErrorCode {
    pub const NO_ERROR: ErrorCode = ErrorCode(0x0);
    pub const PROTOCOL_ERROR: ErrorCode = ErrorCode(0x1);
    pub const INTERNAL_ERROR: ErrorCode = ErrorCode(0x2);
    pub const FLOW_CONTROL_ERROR: ErrorCode = ErrorCode(0x3);
    pub const SETTINGS_TIMEOUT: ErrorCode = ErrorCode(0x4);
    pub const STREAM_CLOSED: ErrorCode = ErrorCode(0x5);
    pub const FRAME_SIZE_ERROR: ErrorCode = ErrorCode(0x6);
    pub const REFUSED_STREAM: ErrorCode = ErrorCode(0x7);
    pub const CANCEL: ErrorCode = ErrorCode(0x8);
    pub const COMPRESSION_ERROR: ErrorCode = ErrorCode(0x9);
    pub const CONNECT_ERROR: ErrorCode = ErrorCode(0xa);
    pub const ENHANCE_YOUR_CALM: ErrorCode = ErrorCode(0xb);
    pub const INADEQUATE_SECURITY: ErrorCode = ErrorCode(0xc);
    pub const HTTP_1_1_REQUIRED: ErrorCode = ErrorCode(0xd);

    /// The registered name; `UNKNOWN` for any other number.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x0 => "NO_ERROR",
            0x1 => "PROTOCOL_ERROR",
            0x2 => "INTERNAL_ERROR",
            0x3 => "FLOW_CONTROL_ERROR",
            0x4 => "SETTINGS_TIMEOUT",
            0x5 => "STREAM_CLOSED",
            0x6 => "FRAME_SIZE_ERROR",
            0x7 => "REFUSED_STREAM",
            0x8 => "CANCEL",
            0x9 => "COMPRESSION_ERROR",
            0xa => "CONNECT_ERROR",
            0xb => "ENHANCE_YOUR_CALM",
            0xc => "INADEQUATE_SECURITY",
            0xd => "HTTP_1_1_REQUIRED",
            _ => "UNKNOWN",
        }
    }
}

/// Why a whole connection ends: what the peer is told and what the log says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failure {
    /// For GOAWAY.
    pub code: ErrorCode,
    /// For logs, metrics, and the streams that end with the connection.
    pub reason: Reason,
}

/// A rule that a frame broke, and how far the consequence reaches. Internal to the engine: which [`Reason`] it
/// becomes depends on which side of the gateway the peer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Breach {
    /// The connection ends with GOAWAY (RFC 9113 §5.4.1).
    Connection(ErrorCode),
    /// The stream ends with RST_STREAM (RFC 9113 §5.4.2).
    Stream(ErrorCode),
    /// The connection ends with ENHANCE_YOUR_CALM: a limit was passed, which has a reason of its own.
    Limit(Reason),
}

impl Breach {
    pub(crate) const PROTOCOL: Breach = Breach::Connection(ErrorCode::PROTOCOL_ERROR);
    pub(crate) const FRAME_SIZE: Breach = Breach::Connection(ErrorCode::FRAME_SIZE_ERROR);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_registered_names() {
        assert_eq!(ErrorCode::ENHANCE_YOUR_CALM.name(), "ENHANCE_YOUR_CALM");
        assert_eq!(ErrorCode(0xd), ErrorCode::HTTP_1_1_REQUIRED);
        assert_eq!(ErrorCode(0xe).name(), "UNKNOWN");
    }
}
