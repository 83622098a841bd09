from __future__ import annotations

from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection_pb2

from cordon_server.api.reflection import V1, V1ALPHA, _describe_v1

FILE = "grpc/reflection/v1/reflection.proto"


def test_v1_is_described_as_the_alpha_is_under_its_own_name() -> None:
    _describe_v1()
    _describe_v1()
    pool = descriptor_pool.Default()

    ours, alphas = pool.FindServiceByName(V1), pool.FindServiceByName(V1ALPHA)

    assert [each.name for each in ours.methods] == [each.name for each in alphas.methods]
    (method,) = ours.methods
    assert method.input_type.full_name == "grpc.reflection.v1.ServerReflectionRequest"
    assert method.output_type.full_name == "grpc.reflection.v1.ServerReflectionResponse"
    assert (method.client_streaming, method.server_streaming) == (True, True)
    assert b"v1alpha" not in pool.FindFileByName(FILE).serialized_pb


def test_a_v1_message_is_the_alphas_to_the_byte() -> None:
    _describe_v1()
    described = descriptor_pool.Default().FindMessageTypeByName(
        "grpc.reflection.v1.ServerReflectionResponse"
    )
    answer = reflection_pb2.ServerReflectionResponse(
        valid_host="host",
        list_services_response=reflection_pb2.ListServiceResponse(
            service=[reflection_pb2.ServiceResponse(name=V1)]
        ),
    )

    read = message_factory.GetMessageClass(described).FromString(answer.SerializeToString())

    assert read.list_services_response.service[0].name == V1  # type: ignore[attr-defined]  # made at run time
    assert read.SerializeToString() == answer.SerializeToString()
