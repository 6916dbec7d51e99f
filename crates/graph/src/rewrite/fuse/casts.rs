//! One Cast instead of two, where the first loses nothing.

use super::super::Options;
use super::super::net::{Net, ValueId};
use super::pattern::{Found, Pattern};
use super::replace::{Fused, each};
use crate::ElementType;

pub(in crate::rewrite) fn run(net: &mut Net, options: &Options) -> bool {
    options.fuse.is_some() && each(net, &Pattern::new("Cast(i:Cast(x))"), direct)
}

fn direct(net: &Net, found: &Found, output: ValueId) -> Option<Fused> {
    let x = found.get("x")?;
    let (from, between) = (net.element_type(x)?, net.element_type(found.get("i")?)?);
    let (_, op) = net.producer_op(output)?;
    let is_plain = op.node.attributes.len() == 1;
    let to = net.element_type(output)?;
    (is_plain && holds(between, from))
        .then(|| Fused::new("Cast").with("to", i64::from(to.code())).input(x))
}

/// Whether one type has every number of another.
fn holds(wide: ElementType, narrow: ElementType) -> bool {
    use ElementType::{
        Bfloat16, Bool, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32,
    };
    wide == narrow
        || match narrow {
            Bool | Uint8 => !matches!(wide, Bool | Int8 | Bfloat16) && is_number(wide),
            Int8 => {
                matches!(wide, Int16 | Int32 | Int64 | Float16 | Bfloat16 | Float32 | Float64)
            }
            Int16 => matches!(wide, Int32 | Int64 | Float32 | Float64),
            Uint16 => matches!(wide, Int32 | Int64 | Uint32 | Float32 | Float64),
            Int32 | Uint32 => matches!(wide, Int64 | Float64),
            Float16 | Bfloat16 => matches!(wide, Float32 | Float64),
            Float32 => wide == Float64,
            _ => false,
        }
}

fn is_number(element_type: ElementType) -> bool {
    use ElementType::{
        Float16, Float32, Float64, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64,
    };
    matches!(
        element_type,
        Uint8 | Uint16 | Uint32 | Uint64 | Int16 | Int32 | Int64 | Float16 | Float32 | Float64
    )
}
