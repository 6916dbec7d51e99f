//! From the JSON of a model to layers.

use serde_json::Value as Json;

use crate::keras::config::Config;
use crate::keras::fault::Fault;
use crate::keras::layer::{Layer, Unsupported, policy};
use crate::keras::{FORMAT, functional, functions, layers, sequential};
use crate::{ConvertError, Limits};

/// Reads the layers of one model.
pub(crate) struct Reader {
    /// Which Keras wrote it: 1, 2 or 3.
    pub(crate) major: u32,
    /// What the reader of the conversion should know.
    pub(crate) notes: Vec<String>,
    layers_left: usize,
    depth_max: usize,
}

/// Where a layer stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Names of the layers around it.
    pub(crate) label: String,
    /// Where a `.keras` archive has its weights.
    pub(crate) path: String,
    /// Whether all layers around it are trained.
    pub(crate) trainable: bool,
    /// How many layers are around it.
    pub(crate) depth: usize,
}

/// What a layer is read with: its place, and the reader for the layers inside it.
pub(crate) struct Context<'a> {
    /// Reads the layers inside.
    pub(crate) reader: &'a mut Reader,
    /// The layer's own place.
    pub(crate) place: Place,
    /// How the layer's weights are quantized, where they are.
    pub(crate) quantized: Option<String>,
}

impl Reader {
    /// A reader for a model that this version of Keras wrote.
    pub(crate) fn new(major: u32, limits: &Limits) -> Reader {
        Reader {
            major,
            notes: Vec::new(),
            layers_left: limits.nodes,
            depth_max: limits.depth.min(DEPTH_MAX),
        }
    }

    /// Reads a layer from its JSON. `path` is where its weights are; `around` are the layers around
    /// it.
    pub(crate) fn layer(
        &mut self,
        json: &Json,
        path: String,
        around: &Place,
    ) -> Result<Layer, ConvertError> {
        let class = class_of(json).ok_or_else(|| {
            malformed(&around.label, "expected a layer with a 'class_name', found none")
        })?;
        if self.layers_left == 0 || around.depth >= self.depth_max {
            let message = "there are too many layers, or they nest too deeply";
            return Err(malformed(&around.label, message));
        }
        self.layers_left -= 1;
        let name = name_of(json).unwrap_or_else(|| class.to_lowercase());
        let label = match around.label.as_str() {
            "" => name.clone(),
            above => format!("{above}/{name}"),
        };
        let fault = |fault: Fault| fault.into_error(&label);
        let options = json.get("config");
        // The options of a Sequential may be its list of layers.
        let config = match options {
            Some(Json::Array(_)) => Config::default(),
            options => Config::new(options).map_err(fault)?,
        };
        let trainable = around.trainable && config.flag(&["trainable"], true).unwrap_or(true);
        let (element_type, quantized) = policy(config.get(&["dtype"]));
        let is_function = is_function(json, &class, &config, self.major);
        let place =
            Place { label: label.clone(), path: path.clone(), trainable, depth: around.depth + 1 };
        let mut context = Context { reader: self, place, quantized };
        let read = match class.as_str() {
            "Sequential" => sequential::read(json, &mut context).map(|it| Box::new(it) as _),
            "Functional" | "Model" | "Network" | "Container" => {
                functional::read(json, &mut context).map(|it| Box::new(it) as _)
            }
            _ if is_custom(json) => Err(custom(json, &class)),
            _ if is_function => functions::read(&class, &config),
            _ => layers::read(&class, &config, &mut context),
        };
        let operation = match read {
            Ok(operation) => Ok(operation),
            Err(Fault::Unsupported { reason, way_out }) => Err(Unsupported { reason, way_out }),
            Err(other) => return Err(fault(other)),
        };
        let policy = if is_function { None } else { element_type };
        Ok(Layer { name, label, class, path, trainable, policy, operation })
    }
}

/// As deep as layers may nest, whatever the limits say: each level takes a few frames of the stack.
const DEPTH_MAX: usize = 64;

impl Context<'_> {
    /// Reads a layer that is inside this one, under this attribute.
    pub(crate) fn inner(&mut self, json: Option<&Json>, attribute: &str) -> Result<Layer, Fault> {
        let missing = || Fault::malformed(format!("expected a layer as '{attribute}', found none"));
        let path = format!("{}/{attribute}", self.place.path);
        let layer = self.reader.layer(json.ok_or_else(missing)?, path, &self.place)?;
        match &layer.operation {
            Ok(_) => Ok(layer),
            Err(Unsupported { reason, way_out }) => Err(Fault::unsupported(
                format!("the layer {} inside ({reason})", layer.class),
                way_out.clone(),
            )),
        }
    }
}

/// The class of a layer.
pub(crate) fn class_of(json: &Json) -> Option<String> {
    Some(json.get("class_name")?.as_str()?.to_owned())
}

/// The name of a layer.
pub(crate) fn name_of(json: &Json) -> Option<String> {
    let name = json.get("name").and_then(Json::as_str);
    let name = name.or_else(|| json.get("config")?.get("name")?.as_str())?;
    Some(name.to_owned())
}

/// Whether it is a function of `keras.ops` or of TensorFlow that was applied like a layer.
pub(crate) fn is_function(json: &Json, class: &str, config: &Config, major: u32) -> bool {
    if functions::is_lambda(class) {
        return true;
    }
    match json.get("module").and_then(Json::as_str) {
        Some(module) => module.contains(".ops."),
        // Files in HDF5 do not say. All layers have options that no function has.
        None => {
            major >= 3
                && !config.has("trainable")
                && !config.has("dtype")
                && functions::is_known(class)
        }
    }
}

/// Whether it is a class that somebody wrote outside Keras.
fn is_custom(json: &Json) -> bool {
    let module = json.get("module").and_then(Json::as_str).unwrap_or("keras");
    let own = ["keras", "tf_keras", "tensorflow", "builtins"];
    let root = module.split('.').next().unwrap_or_default();
    let registered = json.get("registered_name").and_then(Json::as_str).unwrap_or_default();
    let package = registered.split_once('>').map(|(package, _)| package);
    !own.contains(&root)
        || package.is_some_and(|package| !own.contains(&package) && package != "Addons")
}

fn custom(json: &Json, class: &str) -> Fault {
    let module = json.get("module").and_then(Json::as_str).unwrap_or("another package");
    Fault::unsupported(
        format!("the class {class} of '{module}', whose code is not in the file,"),
        "build it from layers and keras.ops of Keras itself, or export the model as a SavedModel \
         (`model.export(folder)`) and convert that",
    )
}

fn malformed(place: &str, message: &str) -> ConvertError {
    let place = if place.is_empty() { "the model".into() } else { format!("layer '{place}'") };
    ConvertError::Malformed { format: FORMAT, place, message: message.into() }
}
