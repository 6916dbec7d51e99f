"""Writes operators.txt beside it: every version of ONNX's operators. Made with onnx==1.23.2.

A line is a version of an operator, its fields separated by '|':

    name | version | inputs | outputs | attributes

`X:T:c02` is a parameter that takes the element types whose numbers are the bits set; bit 29 stands
for sequences, 30 for optionals, 31 for anything else. Parameters with the same `T` are of the same
type. `?` after the name: may be left out; `*`: one or more. `axis:i=1` is an attribute with its kind (the first letter; capitals are lists) and default;
`!` instead of a default: required. A deprecated version has nothing after its number.
"""

import collections
import pathlib

import onnx
from onnx import defs

KINDS = {
    "FLOAT": "f", "INT": "i", "STRING": "s", "TENSOR": "t", "GRAPH": "g", "SPARSE_TENSOR": "p",
    "TYPE_PROTO": "y", "FLOATS": "F", "INTS": "I", "STRINGS": "S", "TENSORS": "T", "GRAPHS": "G",
    "SPARSE_TENSORS": "P", "TYPE_PROTOS": "Y",
}
NAMES = {
    "float": "FLOAT", "double": "DOUBLE",
    **{name.lower(): name for name in onnx.TensorProto.DataType.keys()},
}


def bit(text):
    if text.startswith("seq("):
        return 29
    if text.startswith("optional("):
        return 30
    if text.startswith("tensor("):
        return onnx.TensorProto.DataType.Value(NAMES[text[len("tensor("):-1]].upper())
    return 31


def parameter(schema, found):
    allowed = {found.type_str}
    for constraint in schema.type_constraints:
        if constraint.type_param_str == found.type_str:
            allowed = set(constraint.allowed_type_strs)
    mask = 0
    for text in allowed:
        mask |= 1 << bit(text)
    option = str(found.option).rsplit(".", 1)[-1]
    mark = {"Single": "", "Optional": "?", "Variadic": "*"}[option]
    # A type that is spelled out binds nothing.
    variable = "" if "(" in found.type_str else found.type_str
    return f"{found.name}{mark}:{variable}:{mask:x}"


def attribute(found):
    kind = KINDS[str(found.type).rsplit(".", 1)[-1]]
    if found.required:
        return f"{found.name}:{kind}!"
    if found.default_value.type:
        value = onnx.helper.get_attribute_value(found.default_value)
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, list):
            value = ",".join(str(item) for item in value)
        return f"{found.name}:{kind}={value}"
    return f"{found.name}:{kind}"


def main():
    versions = collections.defaultdict(list)
    for schema in defs.get_all_schemas_with_history():
        if schema.domain in ("", "ai.onnx.ml"):
            prefix = schema.domain + "." if schema.domain else ""
            versions[prefix + schema.name].append(schema)
    lines = []
    for name in sorted(versions):
        for schema in sorted(versions[name], key=lambda schema: schema.since_version):
            fields = [name, str(schema.since_version)]
            if not schema.deprecated:
                fields.append(" ".join(parameter(schema, found) for found in schema.inputs))
                fields.append(" ".join(parameter(schema, found) for found in schema.outputs))
                attributes = sorted(schema.attributes.values(), key=lambda found: found.name)
                fields.append(" ".join(attribute(found) for found in attributes))
            lines.append("|".join(fields))
    path = pathlib.Path(__file__).with_name("operators.txt")
    path.write_text("\n".join(lines) + "\n")


main()
