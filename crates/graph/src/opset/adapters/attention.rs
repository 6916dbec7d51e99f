//! Attention came with 23: products of matrices with a softmax between them.

use super::layer_normalization::cast;
use super::{Adapter, adapter};
use crate::opset::site::{Refusal, Site, refuse};
use crate::{ElementType, Node};

pub(super) const ADAPTERS: &[Adapter] = &[adapter("Attention", 23, None, Some(down))];

/// Inputs of the node.
const MASK: usize = 3;
const PAST: [usize; 2] = [4, 5];

/// A score that no key with a mask gets.
const NEVER: f64 = f64::NEG_INFINITY;

fn down(site: &mut Site<'_>) -> Result<(), Refusal> {
    let names = [site.required(0)?, site.required(1)?, site.required(2)?];
    let element_type = site.element_type(&names[0])?;
    let rank = site.rank(&names[0])?;
    let shape = Heads::of(site, &names, rank)?;
    let query = shape.split(site, &names[0], shape.queries);
    let mut key = shape.split(site, &names[1], shape.keys);
    let mut value = shape.split(site, &names[2], shape.keys);
    key = after_past(site, &key, 0);
    value = after_past(site, &value, 1);
    site.also(1, &key);
    site.also(2, &value);
    let bias = bias(site, &query, &key, element_type)?;
    let key = shape.repeat(site, &key);
    let value = shape.repeat(site, &value);
    let scale = site.node.float("scale").map_or(1.0 / (shape.size as f64).sqrt(), f64::from);
    let root = site.scalar("scale", element_type, scale.max(0.0).sqrt())?;
    let query = site.add("Mul", &[&query, &root]);
    let turned = Node::new("Transpose", &[&key], &[]).with("perm", [0, 1, 3, 2]);
    let turned = site.add_node(turned);
    let turned = site.add("Mul", &[&turned, &root]);
    let scores = Scores::new(site, &query, &turned, bias.as_deref(), element_type)?;
    let weights = scores.weights(site, bias.as_deref(), element_type)?;
    match site.node.int("qk_matmul_output_mode").unwrap_or(0) {
        0 => site.also(3, &scores.products),
        1 => site.also(3, &scores.capped),
        2 => site.also(3, &scores.biased),
        3 => site.also(3, &weights),
        mode => return refuse(format!("qk_matmul_output_mode {mode}")),
    }
    if rank == 4 {
        site.replace_by("MatMul", &[&weights, &value]);
        return Ok(());
    }
    let mixed = site.add("MatMul", &[&weights, &value]);
    let order = Node::new("Transpose", &[&mixed], &[]).with("perm", [0, 2, 1, 3]);
    let ordered = site.add_node(order);
    let together = site.ints("together", &[0, 0, -1]);
    site.replace_by("Reshape", &[&ordered, &together]);
    Ok(())
}

/// How many heads there are, and how large.
struct Heads {
    rank: usize,
    queries: i64,
    keys: i64,
    /// Of one head of the queries.
    size: usize,
}

impl Heads {
    fn of(site: &Site<'_>, names: &[String; 3], rank: usize) -> Result<Heads, Refusal> {
        let known = |name: &str, axis: usize| match site.fixed_dim(name, axis) {
            Some(size) if size > 0 => Ok(size),
            _ => refuse(format!("dimension {axis} of '{name}' is not fixed")),
        };
        let (queries, keys, size) = match rank {
            3 => {
                let count = |name: &str| match site.node.int(name) {
                    Some(count) if count > 0 => Ok(count),
                    _ => refuse(format!("attribute '{name}' is missing")),
                };
                let (queries, keys) = (count("q_num_heads")?, count("kv_num_heads")?);
                (queries, keys, known(&names[0], 2)? / usize::try_from(queries).unwrap_or(1))
            }
            4 => {
                let size = known(&names[0], 3)?;
                (known(&names[0], 1)? as i64, known(&names[1], 1)? as i64, size)
            }
            _ => return refuse(format!("{rank} dimensions")),
        };
        match queries % keys {
            0 => Ok(Heads { rank, queries, keys, size }),
            _ => refuse(format!("{queries} heads of queries, {keys} of keys")),
        }
    }

    /// `[batch, length, heads * size]` as `[batch, heads, length, size]`.
    fn split(&self, site: &mut Site<'_>, name: &str, heads: i64) -> String {
        if self.rank == 4 {
            return name.to_owned();
        }
        let apart = site.ints("apart", &[0, 0, heads, -1]);
        let apart = site.add("Reshape", &[name, &apart]);
        site.add_node(Node::new("Transpose", &[&apart], &[]).with("perm", [0, 2, 1, 3]))
    }

    /// Each head of keys or values for each head of queries that it serves.
    fn repeat(&self, site: &mut Site<'_>, name: &str) -> String {
        if self.queries == self.keys {
            return name.to_owned();
        }
        let axis = site.ints("axis", &[2]);
        let apart = site.add("Unsqueeze", &[name, &axis]);
        let repeats = site.ints("repeats", &[1, 1, self.queries / self.keys, 1, 1]);
        let repeated = site.add("Tile", &[&apart, &repeats]);
        // The length is left open, so the others are taken from the shape.
        let shape = site.add("Shape", &[name]);
        let part = |site: &mut Site<'_>, index: i64| {
            let index = site.ints("index", &[index]);
            site.add("Gather", &[&shape, &index])
        };
        let heads = site.ints("heads", &[self.queries]);
        let (batch, length, size) = (part(site, 0), part(site, 2), part(site, 3));
        let parts = [batch.as_str(), &heads, &length, &size];
        let shape = site.add_node(Node::new("Concat", &parts, &[]).with("axis", 0));
        site.add("Reshape", &[&repeated, &shape])
    }
}

/// Keys (0) or values (1) behind those of the past.
fn after_past(site: &mut Site<'_>, name: &str, which: usize) -> String {
    match site.node.input(PAST[which]).map(str::to_owned) {
        Some(past) => site.add_node(Node::new("Concat", &[&past, name], &[]).with("axis", 2)),
        None => name.to_owned(),
    }
}

/// What is added to the scores: minus infinity where a query must not look.
fn bias(
    site: &mut Site<'_>,
    query: &str,
    key: &str,
    element_type: ElementType,
) -> Result<Option<String>, Refusal> {
    let mut bias = None;
    if let Some(mask) = site.node.input(MASK).map(str::to_owned) {
        bias = Some(match site.element_type(&mask)? {
            ElementType::Bool => choice(site, &mask, element_type)?,
            _ => mask,
        });
    }
    if site.node.int("is_causal").unwrap_or(0) != 0 {
        let allowed = causal(site, query, key);
        let own = choice(site, &allowed, element_type)?;
        bias = Some(match bias {
            Some(bias) => site.add("Add", &[&bias, &own]),
            None => own,
        });
    }
    Ok(bias)
}

/// Nothing where it is allowed, minus infinity elsewhere.
fn choice(
    site: &mut Site<'_>,
    allowed: &str,
    element_type: ElementType,
) -> Result<String, Refusal> {
    let zero = site.scalar("allowed", element_type, 0.0)?;
    let never = site.scalar("never", element_type, NEVER)?;
    Ok(site.add("Where", &[allowed, &zero, &never]))
}

/// A query looks at the keys before it and at its own, counted from the end of the past.
fn causal(site: &mut Site<'_>, query: &str, key: &str) -> String {
    let mut rows = positions(site, query);
    if let Some(past) = site.node.input(PAST[0]).map(str::to_owned) {
        let offset = length(site, &past);
        rows = site.add("Add", &[&rows, &offset]);
    }
    let axis = site.ints("axis", &[1]);
    let rows = site.add("Unsqueeze", &[&rows, &axis]);
    let columns = positions(site, key);
    site.add("LessOrEqual", &[&columns, &rows])
}

fn positions(site: &mut Site<'_>, name: &str) -> String {
    let length = length(site, name);
    let (zero, one) = (site.int("start", 0), site.int("step", 1));
    site.add("Range", &[&zero, &length, &one])
}

fn length(site: &mut Site<'_>, name: &str) -> String {
    let shape = site.add("Shape", &[name]);
    let axis = site.int("axis", 2);
    site.add("Gather", &[&shape, &axis])
}

/// How well keys fit queries, from stage to stage.
struct Scores {
    products: String,
    capped: String,
    biased: String,
}

impl Scores {
    fn new(
        site: &mut Site<'_>,
        query: &str,
        turned: &str,
        bias: Option<&str>,
        element_type: ElementType,
    ) -> Result<Scores, Refusal> {
        let products = site.add("MatMul", &[query, turned]);
        let mut capped = products.clone();
        let cap = site.node.float("softcap").unwrap_or(0.0);
        if cap > 0.0 {
            let cap = site.scalar("cap", element_type, cap.into())?;
            let divided = site.add("Div", &[&products, &cap]);
            let bent = site.add("Tanh", &[&divided]);
            capped = site.add("Mul", &[&bent, &cap]);
        }
        let biased = match bias {
            Some(bias) => site.add("Add", &[&capped, bias]),
            None => capped.clone(),
        };
        Ok(Scores { products, capped, biased })
    }

    /// The softmax; nothing where a query may not look at any key.
    fn weights(
        &self,
        site: &mut Site<'_>,
        bias: Option<&str>,
        element_type: ElementType,
    ) -> Result<String, Refusal> {
        let precision = match site.node.int("softmax_precision").unwrap_or(0) {
            0 => element_type,
            code => match i32::try_from(code).ok().and_then(ElementType::from_code) {
                Some(precision) => precision,
                None => return refuse(format!("softmax_precision {code}")),
            },
        };
        let scores = cast(site, &self.biased, element_type, precision);
        let weights = site.add_node(Node::new("Softmax", &[&scores], &[]).with("axis", -1));
        let weights = cast(site, &weights, precision, element_type);
        let (Some(bias), Some(_)) = (bias, site.node.input(MASK)) else { return Ok(weights) };
        let last = site.ints("last", &[-1]);
        let most = site.add("ReduceMax", &[bias, &last]);
        let never = site.scalar("never", element_type, NEVER)?;
        let blind = site.add("Equal", &[&most, &never]);
        let zero = site.scalar("zero", element_type, 0.0)?;
        Ok(site.add("Where", &[&blind, &zero, &weights]))
    }
}
