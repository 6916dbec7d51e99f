//! Attention.
use super::super::Options;
use super::super::net::Net;
pub(in crate::rewrite) fn run(_: &mut Net, _: &Options) -> bool {
    false
}
