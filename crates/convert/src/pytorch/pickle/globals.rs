//! Which functions and classes may stand in a pickle of weights. They are not called either: it is
//! only known what they mean, or that what they make carries no weights.

/// Whether a call of this function or class is no reason to refuse a file.
pub(super) fn is_harmless(module: &str, name: &str) -> bool {
    let known = KNOWN.iter().any(|(of, names)| *of == module && names.contains(&name));
    known || (module == "torch" && name.ends_with("Storage"))
}

const KNOWN: &[(&str, &[&str])] = &[
    // What tensors are made of.
    (
        "torch._utils",
        &[
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_tensor_v3",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
            "_rebuild_sparse_tensor",
            "_rebuild_qtensor",
            "_rebuild_meta_tensor_no_storage",
        ],
    ),
    ("torch._tensor", &["_rebuild_from_type_v2"]),
    ("torch.serialization", &["_get_layout"]),
    ("torch", &["Size", "device", "dtype", "Tensor", "Generator"]),
    ("torch.nn.parameter", &["Parameter", "Buffer"]),
    ("torch.storage", &["TypedStorage", "UntypedStorage"]),
    // What stands beside tensors in checkpoints.
    ("collections", &["OrderedDict", "defaultdict", "Counter", "deque"]),
    ("builtins", &["set", "frozenset", "dict", "list", "tuple", "slice", "complex", "bytearray"]),
    (
        "__builtin__",
        &["set", "frozenset", "dict", "list", "tuple", "slice", "complex", "bytearray"],
    ),
    ("copyreg", &["_reconstructor"]),
    ("copy_reg", &["_reconstructor"]),
    ("_codecs", &["encode"]),
    ("argparse", &["Namespace"]),
    ("types", &["SimpleNamespace"]),
    ("datetime", &["datetime", "date", "timedelta", "timezone"]),
    ("pathlib", &["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path"]),
    ("pathlib._local", &["PosixPath", "WindowsPath"]),
    ("numpy", &["dtype", "ndarray"]),
    ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy._core.multiarray", &["scalar", "_reconstruct"]),
    ("numpy.dtypes", &["Float64DType", "Float32DType", "Int64DType"]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_within_their_modules() {
        assert!(is_harmless("torch._utils", "_rebuild_tensor_v2"));
        assert!(is_harmless("torch", "HalfStorage"));
        assert!(!is_harmless("os", "system"));
        assert!(!is_harmless("builtins", "eval"));
        assert!(!is_harmless("os", "OrderedDict"));
    }
}
