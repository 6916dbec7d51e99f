//! TorchScript, traced and scripted: `fixtures/torchscript.py` made the archives.

use std::io::{Cursor, Read, Write};

use modelyard_convert::{Conversion, ConvertError, Limits, Options, convert, open};
use modelyard_tensor::Dim;
use proptest::prelude::*;
use zip::{ZipArchive, ZipWriter, write::SimpleFileOptions};

use crate::support::{Expected, check_with, compare_all, evaluate, fixtures, run};

/// Options with these shapes: sizes, or the name of a free one.
fn shapes(shapes: &[(&str, &str)]) -> Options {
    let dim = |text: &str| match text.parse() {
        Ok(size) => Dim::Fixed(size),
        Err(_) => Dim::Symbol(text.to_owned()),
    };
    let shapes = shapes.iter().map(|(name, dims)| {
        let dims = dims.split(',').filter(|text| !text.is_empty()).map(dim).collect();
        ((*name).to_owned(), dims)
    });
    Options { shapes: shapes.collect(), ..Options::default() }
}

/// Checks an archive with these shapes; with the batch free, and with all sizes as numbers.
fn check(name: &str, inputs: &[(&str, &str)]) -> Conversion {
    check_fixed(name, inputs);
    check_fixed(name, &free(inputs))
}

fn check_fixed(name: &str, inputs: &[(&str, &str)]) -> Conversion {
    check_with(&format!("torchscript/{name}.pt"), &shapes(inputs))
}

/// The same with a free first dimension.
fn free<'i>(inputs: &[(&'i str, &'i str)]) -> Vec<(&'i str, &'i str)> {
    let free = |&(name, dims): &(&'i str, &'i str)| -> (&'i str, &'i str) {
        let rest = dims.split_once(',').map_or("", |(_, rest)| rest);
        (name, Box::leak(format!("batch,{rest}").into_boxed_str()))
    };
    inputs.iter().map(free).collect()
}

/// Converts an archive with free sizes and compares it with torch's answers at each of the sizes that
/// were recorded, but for those.
fn check_sizes(name: &str, inputs: &[(&str, &str)], but: &[usize]) -> Conversion {
    let folder = fixtures().join("torchscript");
    let options = shapes(inputs);
    let source = open(&folder.join(format!("{name}.pt")), &options, &Limits::default()).unwrap();
    let conversion = convert(source.as_ref(), &options).unwrap();
    let paths = (0..).map(|at| folder.join(format!("{name}.{at}.safetensors")));
    let mut count = 0;
    for (at, path) in paths.take_while(|path| path.exists()).enumerate() {
        count += 1;
        if but.contains(&at) {
            continue;
        }
        let expected = Expected::read(&path);
        let inputs = expected.inputs(&conversion);
        let what = |who: &str| format!("{who} of {name}, case {at},");
        let answers = evaluate(source.as_ref(), &inputs);
        compare_all(&what("the reference evaluator"), &expected, &conversion, answers);
        if let Some(answers) = run(&conversion, &inputs) {
            compare_all(&what("the converted model"), &expected, &conversion, answers);
        }
    }
    assert!(count > 1, "{name} has no sizes");
    conversion
}

/// What a conversion takes for granted.
fn granted(conversion: &Conversion) -> Vec<&str> {
    let notes = conversion.notes.iter().map(String::as_str);
    notes.filter_map(|note| note.strip_prefix("takes for granted that ")).collect()
}

#[test]
fn sizes_that_constants_cut_off_stay_free() {
    let conversion = check_sizes("cut", &[("x", "batch,length")], &[]);
    assert_eq!(granted(&conversion), [""; 0]);
}

#[test]
fn numbers_of_parts_are_stated() {
    let conversion = check_sizes("parts", &[("x", "batch,length")], &[]);
    let granted = granted(&conversion);
    let [one, two] = granted.as_slice() else { panic!("{granted:?}") };
    assert!(
        one.starts_with("dimension 0 of input 'x' (batch) is not 1 (the number of parts at code/")
    );
    let condition = "dimension 1 of input 'x' (length) makes 3 parts: any size above 4 does";
    assert!(two.starts_with(condition), "{two}");
}

#[test]
fn numbers_made_of_sizes_are_those_of_torch() {
    check_sizes("numbers", &[("x", "batch,length")], &[]);
    check_sizes("tracedsizes", &[("x", "batch,length")], &[]);
}

#[test]
fn the_language_does_what_torchscript_does() {
    check_sizes("language", &[("x", "batch,length")], &[]);
}

#[test]
fn what_stands_before_a_branch_on_data_stands_after_it() {
    check("branches", &[("x", "2,3")]);
}

#[test]
fn decisions_on_free_sizes_are_stated() {
    check_fixed("once", &[("x", "4,5")]);
    let notes = check_fixed("once", &[("x", "batch,length")]).notes.join("\n");
    for condition in [
        "takes for granted that dimension 1 of input 'x' (length) is at least 3 (a condition at ",
        "takes for granted that dimension 0 of input 'x' (batch) is not 1 (a squeeze at ",
        "forward)",
    ] {
        assert!(notes.contains(condition), "'{condition}' is not in: {notes}");
    }
}

#[test]
fn what_free_sizes_decide_is_refused() {
    let free = [("x", "batch,columns")];
    let shape = "with --shape";
    refused("refused_keys.pt", &free, &["a key of a dict that is not known at conversion", shape]);
    refused(
        "refused_literal.pt",
        &free,
        &["a key of a dict that is not known at conversion", shape],
    );
    refused("refused_member.pt", &free, &["whether a list contains a value", shape]);
    refused("refused_equals.pt", &free, &["dimension 0 of input 'x' (batch) is 3", shape]);
    refused("refused_texts.pt", &free, &["a text of what is not known at conversion", shape]);
    for name in ["keys", "literal", "member", "equals", "texts"] {
        check_opens(&format!("refused_{name}.pt"), &[("x", "3,2")]);
    }
}

#[test]
fn numbers_that_data_decide_are_refused_by_name_and_line() {
    refused(
        "refused_number.pt",
        &[("x", "2,2")],
        &[".py:8, forward", "'n', which data decide: 1 or 2", "torch.where"],
    );
}

#[test]
fn what_code_would_raise_is_told() {
    refused(
        "refused_outside.pt",
        &[("x", "2,2")],
        &["what the code raises for these inputs: list index out of range"],
    );
}

#[test]
fn networks() {
    for name in ["scripted", "traced", "frozen", "frozentrace", "stored"] {
        let conversion = check(name, &[("x", "2,3,8,8")]);
        let outputs = &conversion.model.signature().unwrap().outputs;
        let batch = &outputs[0].dims.as_ref().unwrap()[0];
        assert_eq!(*batch, Dim::Symbol("batch".into()), "{name}");
    }
}

#[test]
fn places_are_those_of_modules() {
    let conversion = check_fixed("scripted", &[("x", "2,3,8,8")]);
    let labels: Vec<&str> = conversion.steps.iter().map(|step| step.label.as_str()).collect();
    assert!(labels.contains(&"blocks.1.conv.conv2d"), "{labels:?}");
}

#[test]
fn loops_lists_and_dicts() {
    check("loops", &[("x", "2,3,4")]);
}

#[test]
fn tuples_and_optional_inputs() {
    check("tuples", &[("x", "2,3,4")]);
}

#[test]
fn nested_inputs() {
    check_fixed("nested", &[("x", "2,3"), ("pair.0", "2,3"), ("pair.1", "3")]);
}

#[test]
fn changes_in_place() {
    check_fixed("inplace", &[("x", "2,3,6")]);
}

#[test]
fn recurrent_layers() {
    check_fixed("recurrent", &[("x", "2,5,4"), ("h", "1,2,3")]);
    check_fixed("recurrent", &[("x", "batch,5,4"), ("h", "1,batch,3")]);
}

#[test]
fn functions() {
    check("functions", &[("x", "2,3,4,5")]);
}

#[test]
fn attention() {
    let mut options = shapes(&[("x", "2,4,8"), ("mask", "2,4")]);
    options.types.insert("mask".into(), modelyard_graph::ElementType::Bool);
    check_with("torchscript/attention.pt", &options);
    check_with("torchscript/fused.pt", &options);
    let mut options = shapes(&[("x", "batch,length,8"), ("mask", "batch,length")]);
    options.types.insert("mask".into(), modelyard_graph::ElementType::Bool);
    check_with("torchscript/fused.pt", &options);
}

#[test]
fn inputs_of_indices_are_integers() {
    check("encoder", &[("ids", "2,5"), ("mask", "2,5")]);
    check_fixed("encoder", &[("ids", "batch,length"), ("mask", "batch,length")]);
}

#[test]
fn branches_that_depend_on_data() {
    let conversion = check_fixed("choice", &[("x", "2,3")]);
    assert!(conversion.model.graph.nodes.iter().any(|node| node.op_type == "If"));
    let notes = conversion.notes.join("\n");
    assert!(notes.contains("may raise 'not a number'"), "{notes}");
}

#[test]
fn state_becomes_inputs_and_outputs() {
    check_fixed("stream", &[("x", "batch,4")]);
    let conversion = check_fixed("stream", &[("x", "1,4")]);
    let signature = conversion.model.signature().unwrap();
    let names: Vec<&str> = signature.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["x", "state.state", "state.heard"]);
}

#[test]
fn state_of_another_size_than_an_inputs_is_refused() {
    check_opens("refused_state.pt", &[("x", "batch,6")]);
    refused(
        "refused_state.pt",
        &[("x", "batch,length")],
        &["state at 'state.kept': state of a size that depends on a free size", "--shape"],
    );
}

/// Wants an archive to be converted with these shapes.
fn check_opens(name: &str, inputs: &[(&str, &str)]) {
    let options = shapes(inputs);
    let source = open(&fixtures().join("torchscript").join(name), &options, &Limits::default());
    convert(source.unwrap().as_ref(), &options).unwrap();
}

#[test]
fn inputs_can_be_fixed() {
    let mut options = shapes(&[("x", "2,8")]);
    options.values.insert("rate".into(), "16000".into());
    options.values.insert("mode".into(), "fast".into());
    check_with("torchscript/fixed.pt", &options);
    options.values.insert("rate".into(), "44100".into());
    let error = refused_with("fixed.pt", &options);
    assert!(error.contains("rates are 8000 and 16000"), "{error}");
    options.values.insert("rate".into(), "fast".into());
    assert!(refused_with("fixed.pt", &options).contains("'fast' is no value for input 'rate'"));
}

fn refused_with(name: &str, options: &Options) -> String {
    let path = fixtures().join("torchscript").join(name);
    let result = open(&path, options, &Limits::default());
    match result.and_then(|source| convert(source.as_ref(), options)) {
        Ok(_) => panic!("{name} is converted"),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn refused(name: &str, inputs: &[(&str, &str)], parts: &[&str]) {
    let error = refused_with(name, &shapes(inputs));
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn shapes_that_are_missing_are_asked_for_all_at_once() {
    refused(
        "fixed.pt",
        &[],
        &["x (Tensor): --shape x=SIZES", "rate (int): --value rate=VALUE", "mode (str)"],
    );
    refused("nested.pt", &[("x", "2,3")], &["--shape pair.0=SIZES --shape pair.1=SIZES"]);
    refused("scripted.pt", &[("image", "1,3,8,8")], &["x (Tensor)"]);
    refused(
        "scripted.pt",
        &[("x", "1,3,8,8"), ("y", "1")],
        &["there is no input 'y'; the model has x"],
    );
}

#[test]
fn what_has_no_counterpart_is_named_all_at_once() {
    refused(
        "refused_unknown.pt",
        &[("x", "2,2")],
        &["aten.linalg_qr", "aten.fft_fft", "aten.bernoulli", ".py:", "forward"],
    );
    refused("refused_endless.pt", &[("x", "2,2")], &["a loop that goes on as long as data"]);
    refused("refused_raises.pt", &[("x", "2,2")], &["expected 7 columns, got 2"]);
    refused("refused_branching.pt", &[("x", "2,2")], &["changes a tensor in place"]);
    refused("refused_quantized.pt", &[("x", "2,4")], &["quantize the ONNX model"]);
    refused("scripted.pt", &[("x", "1,5,8,8")], &["aten.conv2d"]);
    refused(
        "tuples.pt",
        &[("x", "2,columns")],
        &[
            "aten.chunk.default at 'code/__torch__.py:31, split': a call that PyTorch refuses",
            "there is no axis 2 among 2 dimensions",
            "what the code raises for these inputs: AssertionError: expected 3 dimensions, got 2",
        ],
    );
}

fn entries(name: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(fixtures().join("torchscript").join(name)).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        entries.push((entry.name().unwrap().into_owned(), content));
    }
    entries
}

/// Reads and converts an archive with these entries.
fn tried(entries: &[(String, Vec<u8>)], options: &Options) -> Result<Conversion, ConvertError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pt");
    let mut out = ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, content) in entries {
        out.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap();
    let limits = Limits { nodes: 20_000, tensor_bytes: 1 << 20, ..Limits::default() };
    convert(open(&path, options, &limits)?.as_ref(), options)
}

#[test]
fn archives_for_mobile_devices_are_read_where_they_have_code() {
    check_fixed("mobile", &[("x", "2,3,8,8")]);
    let mut all = entries("mobile.pt");
    assert!(all.iter().any(|(name, _)| name.ends_with("bytecode.pkl")));
    all.retain(|(name, _)| !name.contains("/code/"));
    let error = tried(&all, &shapes(&[("x", "2,3,8,8")])).unwrap_err().to_string();
    assert!(error.contains("bytecode for mobile devices and no source code"), "{error}");
}

/// Why an archive is refused whose `forward` has this body.
fn refused_code(body: &str) -> String {
    converted_code(body).unwrap_err().to_string()
}

/// Converts an archive whose `forward` has this body.
fn converted_code(body: &str) -> Result<Conversion, ConvertError> {
    let mut all = entries("loops.pt");
    for (name, content) in &mut all {
        if !name.ends_with(".py") {
            continue;
        }
        let text = String::from_utf8(content.clone()).unwrap();
        let Some(start) = text.find("class Loops(") else { continue };
        let head = text[start..].find("  def forward(").unwrap() + start;
        let mut changed = text[..head].to_owned();
        changed.push_str("  def forward(self: __torch__.Loops,\n    x: Tensor) -> Tensor:\n");
        changed.push_str(body);
        if let Some(next) = text[head..].find("\nclass ") {
            changed.push_str(&text[head + next + 1..]);
        }
        *content = changed.into_bytes();
    }
    tried(&all, &shapes(&[("x", "2,3,4")]))
}

#[track_caller]
fn check_refused(body: &str, part: &str) {
    let error = refused_code(body);
    assert!(error.contains(part), "'{part}' is not in: {error}");
}

#[test]
fn code_that_calls_itself_or_never_ends_is_stopped() {
    check_refused("    return (self).forward(x, )\n", "calls nest deeper than 100 levels");
    let steps = "steps of the code, at most 80000 are allowed";
    check_refused("    while True:\n      y = x\n    return x\n", steps);
    let body = "    for i in range(9000000000000000000):\n      y = x\n    return x\n";
    check_refused(body, steps);
    // Each call lies below many expressions: no single bound is reached before the stack's end.
    let body = format!("    return {}(self).forward(x, ){}\n", "-(".repeat(40), ")".repeat(40));
    check_refused(&body, "levels of calls, blocks and expressions, at most 2000 are allowed");
}

#[test]
fn values_of_code_do_not_grow_without_end() {
    let steps = "steps of the code, at most 80000 are allowed";
    let looped = |first: &str, step: &str| {
        format!("    a = {first}\n    for i in range(9000):\n      {step}\n    return x\n")
    };
    check_refused(&looped("[1, 2]", "a = torch.add(a, a)"), steps);
    check_refused(&looped("[1, 2]", "_0 = torch.extend(a, a)"), steps);
    let letters = "a text of more than a million letters";
    check_refused(&looped("\"ab\"", "a = torch.add(a, a)"), letters);
    check_refused(&looped("\"ab\"", "a = torch.format(\"{}{}\", a, a)"), letters);
    check_refused(&looped("\"ab\"", "a = torch.join(a, [a, a])"), letters);
    check_refused(&looped("\"ab\"", "a = torch.replace(a, \"a\", a)"), letters);
    let within = "lists, tuples and dicts within others, at most 20000 are allowed";
    check_refused(&looped("[]", "a = [[[[a]]]]"), within);
    check_refused(&looped("(1,)", "a = (((a, 1), 1), 1)"), within);
    // Twice in each other: few lists, and no end of items.
    let doubled = |use_of: &str| {
        let body = "    a = [1]\n    b = [1]\n    for i in range(60):\n      a = [a, a]\n      b = [b, b]\n";
        converted_code(&format!("{body}    {use_of}\n    return x\n"))
    };
    for use_of in [
        "return torch.relu(a)",
        "return torch.eq(a, b)",
        "return torch.tensor(a)",
        "return torch.sorted([(a, 1), (b, 1)])",
        "c = torch.append(a, b)",
        "return a",
        "ops.prim.RaiseException(torch.format(\"{}\", a))",
        "c = {\"a\": 1}[a]",
    ] {
        assert!(doubled(use_of).is_err(), "{use_of}");
    }
    for use_of in ["c = torch.len(a)", "c = torch.index([a], a)"] {
        assert!(doubled(use_of).is_ok(), "{use_of}");
    }
    // From within: each list is empty when it is put into the one before.
    let body = "    a = []\n    for i in range(6000):\n      b = []\n      _0 = torch.append(a, b)\n      \
                c = []\n      _1 = torch.append(b, c)\n      d = []\n      _2 = torch.append(c, d)\n      \
                e = []\n      _3 = torch.append(d, e)\n      a = e\n    return x\n";
    check_refused(body, within);
}

#[test]
fn calls_that_take_too_much_are_not_tried() {
    let made = |call: &str, what: &str| {
        let part = format!("a tensor of a size that is not tried (it {what}");
        check_refused(&format!("    return {call}\n"), &part);
    };
    made("torch.zeros([100000, 100000, 100000])", "has 1000000000000000 elements)");
    made("torch.arange(4000000000000)", "has 4000000000000 elements)");
    made("torch.eye(1000000)", "has 1000000000000 elements)");
    made("torch.repeat(x, [100000, 1, 1, 100000])", "has 240000000000 elements)");
    made("torch.constant_pad_nd(x, [0, 1000000000], 1.)", "has 6000000024 elements)");
    made("torch.upsample_nearest1d(x, [4000000000])", "has 24000000000 elements)");
    let ones = "torch.expand(x, [2000, 3, 4], implicit=False)";
    let ones = ones.replace("x,", "torch.zeros([1, 3, 4]),");
    made(
        &format!("torch.einsum(\"abc,dbc,ebc,fbc->adef\", [{ones}, {ones}, {ones}, {ones}])"),
        "takes 192000000000000 multiplications)",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn damaged_archives_do_no_harm(
        name in proptest::sample::select(&["loops.pt", "scripted.pt", "inplace.pt"][..]),
        entry: prop::sample::Index,
        at: prop::sample::Index,
        value: u8,
        cut: bool,
    ) {
        let mut all = entries(name);
        let place = entry.index(all.len());
        let content = &mut all[place].1;
        if !content.is_empty() {
            let at = at.index(content.len());
            if cut {
                content.truncate(at);
            } else {
                content[at] ^= value;
            }
        }
        let dims = if name == "scripted.pt" { "2,3,8,8" } else { "2,3,6" };
        let _ = tried(&all, &shapes(&[("x", dims)]));
    }
}
