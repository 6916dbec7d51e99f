//! Layers that are not covered, and what to do instead.

use crate::keras::fault::Fault;

/// Why this class is not covered.
pub(crate) fn fault(class: &str) -> Fault {
    let way_out = match class {
        "Lambda" => {
            return Fault::unsupported(
                "code of Python, which is never executed,",
                "replace it by functions of keras.ops, or by a layer of Keras",
            );
        }
        "StringLookup" | "TextVectorization" | "Hashing" | "HashedCrossing" => {
            "look words up before the model, and give it integers"
        }
        "CuDNNLSTM" => "make the model with LSTM instead, and load the weights into it",
        "CuDNNGRU" => "make the model with GRU(reset_after=True) instead, and load the weights",
        "MelSpectrogram" | "STFTSpectrogram" => "compute the spectrogram before the model",
        "TorchModuleWrapper" => "export the PyTorch module by itself (torch.export.save)",
        "JaxLayer" | "FlaxLayer" | "TFSMLayer" => {
            "export the model as a SavedModel and convert that"
        }
        "AdaptiveAveragePooling1D"
        | "AdaptiveAveragePooling2D"
        | "AdaptiveAveragePooling3D"
        | "AdaptiveMaxPooling1D"
        | "AdaptiveMaxPooling2D"
        | "AdaptiveMaxPooling3D" => "use a pooling layer with a fixed window",
        "LocallyConnected1D" | "LocallyConnected2D" => "use a convolution or a Dense layer",
        _ => "build it from layers and keras.ops that are covered",
    };
    Fault::unsupported("the layer", way_out)
}
