//! Status codes (RFC 9110 §15).

/// A three-digit status code, 100 to 999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Status(u16);

impl Status {
    /// `200 OK`.
    pub const OK: Status = Status(200);
    /// `100 Continue`.
    pub const CONTINUE: Status = Status(100);
    /// `101 Switching Protocols`.
    pub const SWITCHING_PROTOCOLS: Status = Status(101);
    /// `204 No Content`.
    pub const NO_CONTENT: Status = Status(204);
    /// `308 Permanent Redirect`.
    pub const PERMANENT_REDIRECT: Status = Status(308);

    /// `None` outside of 100 to 999.
    pub const fn new(code: u16) -> Option<Status> {
        if code >= 100 && code <= 999 {
            Some(Status(code))
        } else {
            None
        }
    }

    /// The number.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// Whether a final answer is still to come: 1xx except 101.
    pub const fn is_interim(self) -> bool {
        self.0 < 200 && self.0 != 101
    }

    /// The class, 1 to 9, which is the first digit.
    pub const fn class(self) -> u8 {
        (self.0 / 100) as u8
    }

    /// Whether a message of this status never has a body, whatever its fields say (RFC 9110 §6.4.1).
    pub const fn is_bodiless(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }

    /// The registered reason phrase; "Unknown" when there is none.
    pub const fn phrase(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            101 => "Switching Protocols",
            103 => "Early Hints",
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            203 => "Non-Authoritative Information",
            204 => "No Content",
            205 => "Reset Content",
            206 => "Partial Content",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            416 => "Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            422 => "Unprocessable Content",
            423 => "Locked",
            424 => "Failed Dependency",
            425 => "Too Early",
            426 => "Upgrade Required",
            428 => "Precondition Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            451 => "Unavailable For Legal Reasons",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            507 => "Insufficient Storage",
            511 => "Network Authentication Required",
            _ => "Unknown",
        }
    }
}
