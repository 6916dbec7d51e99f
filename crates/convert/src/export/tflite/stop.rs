//! Why a node was not written.

/// Something of a node has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// What of it, such as `padding mode 'wrap'`.
    pub(super) reason: String,
    /// The nearest way out.
    pub(super) way_out: String,
}

/// Something has no counterpart.
pub(super) fn refused(reason: impl Into<String>, way_out: impl Into<String>) -> Stop {
    Stop { reason: reason.into(), way_out: way_out.into() }
}
