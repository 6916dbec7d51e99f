//! Functions that layers apply to what they give.
//!
//! | module | holds |
//! |---|---|
//! | `convert` | each of them as nodes |
//! | `evaluate` | each of them by Keras' definition |

mod convert;
mod evaluate;

pub(crate) use convert::clip;

use serde_json::Value as Json;

use crate::keras::config::Config;
use crate::keras::fault::Fault;

/// An activation function with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    /// The value itself.
    Linear,
    /// `x` from `threshold` up to `max`; `slope * (x - threshold)` below.
    Relu {
        /// The largest value.
        max: Option<f32>,
        /// The slope below the threshold.
        slope: f32,
        /// Where it begins.
        threshold: f32,
    },
    /// `alpha * (e^x - 1)` below 0.
    Elu(f32),
    /// `alpha * (e^(x / alpha) - 1)` below 0.
    Celu(f32),
    /// The self-normalizing unit.
    Selu,
    /// `x * Φ(x)`, exact or approximated by a hyperbolic tangent.
    Gelu {
        /// Whether it is approximated.
        approximate: bool,
    },
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `x * sigmoid(x)`
    Silu,
    /// `alpha * x + 0.5` within 0 and 1: `alpha` is 0.2 up to Keras 2 and 1/6 since.
    HardSigmoid(f32),
    /// `x` times the hard sigmoid of Keras 3.
    HardSilu,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` within -1 and 1.
    HardTanh,
    /// `x - tanh(x)`
    TanhShrink,
    /// 0 within the threshold.
    HardShrink(f32),
    /// As `HardShrink`, moved towards 0 by the threshold.
    SoftShrink(f32),
    /// `x` above the threshold, the other value elsewhere.
    Threshold {
        /// The threshold.
        threshold: f32,
        /// The other value.
        other: f32,
    },
    /// `ln(1 + e^x)`
    Softplus,
    /// `x / (1 + |x|)`
    Softsign,
    /// `(x + sqrt(x² + b)) / 2`
    Squareplus(f32),
    /// 0 up to -1, `(x + 1)² / 4` up to 1, `x` above.
    SparsePlus,
    /// 0 up to -1, `(x + 1) / 2` up to 1, 1 above.
    SparseSigmoid,
    /// `x * tanh(softplus(x))`
    Mish,
    /// `e^x`
    Exponential,
    /// `ln(sigmoid(x))`
    LogSigmoid,
    /// Exponentials along an axis, divided by their sum.
    Softmax(i64),
    /// The logarithm of softmax.
    LogSoftmax(i64),
    /// The first half of an axis times the sigmoid of the other.
    Glu(i64),
}

impl Activation {
    /// The `relu` without parameters.
    pub(crate) const RELU: Activation = Activation::Relu { max: None, slope: 0.0, threshold: 0.0 };

    /// The function of this name, as Keras `major` has it.
    pub(crate) fn named(name: &str, major: u32) -> Result<Activation, Fault> {
        let relu = |max, slope| Activation::Relu { max, slope, threshold: 0.0 };
        Ok(match name {
            "linear" => Activation::Linear,
            "relu" => Activation::RELU,
            "relu6" => relu(Some(6.0), 0.0),
            "leaky_relu" => relu(None, 0.2),
            "elu" => Activation::Elu(1.0),
            "celu" => Activation::Celu(1.0),
            "selu" => Activation::Selu,
            "gelu" => Activation::Gelu { approximate: false },
            "sigmoid" => Activation::Sigmoid,
            "silu" | "swish" => Activation::Silu,
            "hard_sigmoid" => Activation::HardSigmoid(if major < 3 { 0.2 } else { 1.0 / 6.0 }),
            "hard_silu" | "hard_swish" => Activation::HardSilu,
            "tanh" => Activation::Tanh,
            "hard_tanh" => Activation::HardTanh,
            "tanh_shrink" => Activation::TanhShrink,
            "hard_shrink" => Activation::HardShrink(0.5),
            "soft_shrink" => Activation::SoftShrink(0.5),
            "softplus" => Activation::Softplus,
            "softsign" => Activation::Softsign,
            "squareplus" => Activation::Squareplus(4.0),
            "sparse_plus" => Activation::SparsePlus,
            "sparse_sigmoid" => Activation::SparseSigmoid,
            "mish" => Activation::Mish,
            "exponential" => Activation::Exponential,
            "log_sigmoid" => Activation::LogSigmoid,
            "softmax" => Activation::Softmax(-1),
            "log_softmax" => Activation::LogSoftmax(-1),
            "glu" => Activation::Glu(-1),
            other => {
                return Err(Fault::unsupported(
                    format!("activation '{other}'"),
                    "use an activation of Keras that is covered, such as relu, gelu or silu",
                ));
            }
        })
    }

    /// The function that an option names: a text, an object, a layer, or nothing.
    pub(crate) fn read(json: Option<&Json>, major: u32) -> Result<Activation, Fault> {
        match json {
            None | Some(Json::Null) => Ok(Activation::Linear),
            Some(Json::String(name)) => Activation::named(name, major),
            Some(Json::Object(map)) => {
                let class = map.get("class_name").and_then(Json::as_str).unwrap_or_default();
                match map.get("config") {
                    // A function by its name.
                    Some(Json::String(name)) => Activation::named(name, major),
                    config => {
                        let config = Config::new(config)?;
                        Activation::of_layer(class, &config, major)?.ok_or_else(|| {
                            Fault::unsupported(
                                format!("activation '{class}'"),
                                "name an activation of Keras, such as \"relu\"",
                            )
                        })
                    }
                }
            }
            Some(other) => Err(Fault::malformed(format!("expected an activation, found {other}"))),
        }
    }

    /// The function of a layer of this class; `None` where it is no such layer.
    pub(crate) fn of_layer(
        class: &str,
        config: &Config,
        major: u32,
    ) -> Result<Option<Activation>, Fault> {
        let slope = ["negative_slope", "alpha"];
        let number = |names: &[&str], default: f64| -> Result<f32, Fault> {
            Ok(config.number_or(names, default)? as f32)
        };
        Ok(Some(match class {
            "Activation" => Activation::read(config.get(&["activation"]), major)?,
            "ReLU" => Activation::Relu {
                max: config.number(&["max_value"])?.map(|max| max as f32),
                slope: number(&["negative_slope"], 0.0)?,
                threshold: number(&["threshold"], 0.0)?,
            },
            "LeakyReLU" => {
                Activation::Relu { max: None, slope: number(&slope, 0.3)?, threshold: 0.0 }
            }
            "ThresholdedReLU" => {
                Activation::Threshold { threshold: number(&["theta"], 1.0)?, other: 0.0 }
            }
            "ELU" => Activation::Elu(number(&["alpha"], 1.0)?),
            "Softmax" => match config.integers(&["axis"])?.as_deref() {
                None => Activation::Softmax(-1),
                Some([axis]) => Activation::Softmax(*axis),
                Some(_) => {
                    return Err(Fault::unsupported(
                        "softmax over several axes",
                        "reshape them into one axis before",
                    ));
                }
            },
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: Json) -> Activation {
        Activation::read(Some(&json), 3).unwrap()
    }

    #[test]
    fn activations_come_as_names_objects_and_layers() {
        assert_eq!(read(json!(null)), Activation::Linear);
        assert_eq!(read(json!("relu")), Activation::RELU);
        let function = json!({"module": "keras.activations", "class_name": "function",
            "config": "silu", "registered_name": "function"});
        assert_eq!(read(function), Activation::Silu);
        let layer = json!({"class_name": "LeakyReLU", "config": {"negative_slope": 0.1}});
        assert_eq!(read(layer), Activation::Relu { max: None, slope: 0.1, threshold: 0.0 });
        let Err(Fault::Unsupported { reason, .. }) = Activation::read(Some(&json!("mine")), 3)
        else {
            panic!()
        };
        assert_eq!(reason, "activation 'mine'");
    }

    #[test]
    fn the_hard_sigmoid_changed_with_keras_3() {
        assert_eq!(Activation::named("hard_sigmoid", 2).unwrap(), Activation::HardSigmoid(0.2));
        assert_ne!(Activation::named("hard_sigmoid", 3).unwrap(), Activation::HardSigmoid(0.2));
    }
}
