"""Our protobuf messages and service against the descriptors that others publish, field by field."""

from pathlib import Path
from unittest import mock

from google.protobuf import descriptor_pb2, descriptor_pool
from tritonclient.grpc import model_config_pb2, service_pb2

# tritonclient has registered the same message names in the default pool of this process.
with mock.patch.object(
    descriptor_pool, "Default", return_value=descriptor_pool.DescriptorPool()
):
    from open_inference.grpc import protocol

OURS = Path(__file__).resolve().parents[2] / "crates/server/proto/inference.bin"

# The specification's own addition, which Triton and its clients do not know.
NOT_IN_TRITON = (".ModelMetadataResponse.properties", ".ModelMetadataResponse.PropertiesEntry")


def published(*modules):
    files = []
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        files.append(file)
    return files


def ours():
    files = descriptor_pb2.FileDescriptorSet.FromString(OURS.read_bytes()).file
    return [file for file in files if file.package == "inference"]


def facts(files):
    """Everything that the wire depends on, as a flat table."""
    table = {}
    for file in files:
        assert (file.syntax, file.package) == ("proto3", "inference")
        for message in file.message_type:
            describe_message(table, "", message)
        for enum in file.enum_type:
            describe_enum(table, "", enum)
        for service in file.service:
            for method in service.method:
                table[f"{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return table


def describe_message(table, outside, message):
    name = f"{outside}.{message.name}"
    table[name] = message.options.map_entry
    for field in message.field:
        oneof = None
        # `optional` makes a oneof of one field, which the wire does not know.
        if field.HasField("oneof_index") and not field.proto3_optional:
            oneof = message.oneof_decl[field.oneof_index].name
        table[f"{name}.{field.name}"] = (
            field.number,
            field.label,
            field.type,
            field.type_name,
            oneof,
        )
    for enum in message.enum_type:
        describe_enum(table, name, enum)
    for nested in message.nested_type:
        describe_message(table, name, nested)


def describe_enum(table, outside, enum):
    for value in enum.value:
        table[f"{outside}.{enum.name}.{value.name}"] = value.number


def test_messages_and_methods_are_tritons():
    theirs = facts(published(service_pb2, model_config_pb2))
    assert len(theirs) > 400
    assert facts(ours()) == theirs


def test_messages_and_methods_are_the_specifications():
    theirs = facts(published(protocol))
    assert len(theirs) > 50
    mine = facts(ours())
    differing = {
        name: (fact, mine.get(name)) for name, fact in theirs.items() if mine.get(name) != fact
    }
    unexpected = {
        name: facts for name, facts in differing.items() if not name.startswith(NOT_IN_TRITON)
    }
    assert not unexpected
    assert differing
