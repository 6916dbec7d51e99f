//! placeholder
use crate::{Model, Unadaptable};
pub fn inline(model: Model) -> Result<Model, Unadaptable> { Ok(model) }
