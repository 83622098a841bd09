"""Every message and method of the contract, for tests that hold for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message

from cordon.v1 import (
    audit_pb2,
    camera_pb2,
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    measurement_pb2,
    receipt_pb2,
    recognition_pb2,
    retention_pb2,
    watchlist_pb2,
)
from cordon_server.api import rules
from cordon_server.domain import InvalidInput

FILES = (
    audit_pb2,
    camera_pb2,
    deployment_pb2,
    identity_pb2,
    machine_pb2,
    match_pb2,
    measurement_pb2,
    receipt_pb2,
    recognition_pb2,
    retention_pb2,
    watchlist_pb2,
)
MESSAGES: dict[str, Descriptor] = {
    message.full_name: message
    for file in FILES
    for message in file.DESCRIPTOR.message_types_by_name.values()
}
METHODS: list[MethodDescriptor] = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def reachable(message: Descriptor) -> Iterator[Descriptor]:
    """A message and all of ours in it."""
    yield message
    for field in message.fields:
        inner = field.message_type
        if inner is not None and inner.file.package == "cordon.v1":
            yield from reachable(inner)


REQUESTS = {each.full_name: each for m in METHODS for each in reachable(m.input_type)}


def broken_in(message: Message, check: Callable[[Message], None] = rules.check) -> dict[str, str]:
    """The rules that a message breaks, by field; any other error is the test's end."""
    try:
        check(message)
    except InvalidInput as refused:
        return dict(refused.violations)
    return {}
