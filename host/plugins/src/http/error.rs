/// Why there is no response, as in the WIT interface `weir:plugin/http`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The flow was not granted this scheme, host and port.
    #[error("{0}")]
    NotGranted(String),
    /// The request is none.
    #[error("{0}")]
    BadRequest(String),
    /// It was not over in time.
    #[error("{0}")]
    Timeout(String),
    /// The response is larger than it may be.
    #[error("{0}")]
    TooLarge(String),
    /// The host cannot be reached, or is not trusted.
    #[error("{0}")]
    Connect(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
    /// The flow is being stopped: the guest never sees this, its call ends.
    #[error("the flow is being stopped")]
    Stopped,
}
