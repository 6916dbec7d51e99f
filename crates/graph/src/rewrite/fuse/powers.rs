//! Powers that are simpler operators, and quotients of one.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::gelu::input;
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    if options.fuse.is_none() {
        return false;
    }
    let mut change = |pattern: &str, fused: fn(&Net, &Found, ValueId) -> Option<Fused>| {
        each(net, &Pattern::new(pattern), fused)
    };
    let square = change("Pow(x, 2)", |net, found, output| {
        let x = input(net, found, output)?;
        Some(Fused::new("Mul").input(x).input(x))
    });
    let root = change("Pow(x, 0.5)", |net, found, output| {
        Some(Fused::new("Sqrt").input(input(net, found, output)?))
    });
    let inverse = change("Pow(x, -1)|Div(1, x)", |net, found, output| {
        Some(Fused::new("Reciprocal").input(input(net, found, output)?))
    });
    square || root || inverse
}
