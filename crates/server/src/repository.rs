//! What clients ask of the model repository: to load a model, to unload one.
//!
//! This crate only carries the orders: whoever owns the models takes them from [`Orders`] and
//! answers each when it is done.

use std::sync::Arc;

use bytes::Bytes;
use modelyard_serving::{ErrorCode, InferError};
use tokio::sync::{mpsc, oneshot};

use crate::wake::Wakes;

/// Orders that wait to be taken; one more is refused.
const WAITING: usize = 64;
/// Parameters that carry files begin so.
const FILE: &str = "file:";

/// Where orders are taken from.
pub type Orders = mpsc::Receiver<Order>;

/// Where orders are given.
#[derive(Clone, Debug)]
pub struct Repository {
    orders: mpsc::Sender<Order>,
    pub(crate) wakes: Arc<Wakes>,
}

/// One order.
#[derive(Debug)]
pub struct Order {
    /// Name of the model, as the client wrote it.
    pub model: String,
    /// What is to be done with it.
    pub action: Action,
    /// Gets the answer once it is done.
    pub reply: oneshot::Sender<Result<(), InferError>>,
}

/// What is to be done with a model.
#[derive(Debug)]
pub enum Action {
    /// Load it, or load it again where it has changed.
    Load(Overrides),
    /// Take it out.
    Unload,
    /// Load it as it is known: somebody asks for it.
    Wake,
}

/// What replaces what lies beside a model.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Its configuration, as JSON.
    pub config: Option<String>,
    /// Its files, by their paths such as `1/model.onnx`.
    pub files: Vec<(String, Bytes)>,
}

/// The value of a parameter of an order.
#[derive(Debug)]
pub(crate) enum Parameter {
    Bool,
    Text(String),
    Bytes(Bytes),
    Other,
}

impl Repository {
    /// Both ends.
    pub fn new() -> (Repository, Orders) {
        let (sender, orders) = mpsc::channel(WAITING);
        (Repository { orders: sender, wakes: Arc::default() }, orders)
    }

    /// Gives an order and waits until it is done.
    pub(crate) async fn ask(&self, model: &str, action: Action) -> Result<(), InferError> {
        let (reply, answer) = oneshot::channel();
        let model = model.to_owned();
        let order = Order { model, action, reply };
        let stopping = || InferError::unavailable("the server is stopping");
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                InferError::new(ErrorCode::Overloaded, "too many models are waiting to be loaded")
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

impl Overrides {
    /// Takes a parameter of a request to load.
    pub(crate) fn take(&mut self, name: &str, value: Parameter) -> Result<(), InferError> {
        let wrong = |expected: &str| {
            let name: String = name.chars().take(64).collect();
            let name = name.escape_debug();
            Err(InferError::invalid(format!("parameter '{name}' is wrong, expected {expected}")))
        };
        match (name, name.strip_prefix(FILE), value) {
            ("config", _, Parameter::Text(config)) => self.config = Some(config),
            ("config", ..) => return wrong("a model configuration as a JSON string"),
            (_, Some(path), Parameter::Bytes(content)) => {
                self.files.push((path.to_owned(), content));
            }
            (_, Some(_), _) => return wrong("the content of a file"),
            _ => return wrong("'config' or 'file:<version>/<name>'"),
        }
        Ok(())
    }
}

/// Takes a parameter of a request to unload. No model here depends on another one, so there is
/// nothing to do about those that do.
pub(crate) fn take_unload(name: &str, value: &Parameter) -> Result<(), InferError> {
    match (name, value) {
        ("unload_dependents", Parameter::Bool) => Ok(()),
        _ => {
            Err(InferError::invalid("expected no parameter but 'unload_dependents', true or false"))
        }
    }
}
