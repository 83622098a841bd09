"""The server as the product builds it, with a witness inside: each handler that begins is logged.

`python -m tests.helpers.traced_server --config FILE` runs `cordon server run`; an interceptor after
the server's own notes the call as `handler.entered` where the behaviour of a service begins, with
the number that the caller gave the call. What the edge refuses leaves no such line.
"""

from __future__ import annotations

# First, for it sets gRPC's ciphers and those are read when gRPC is imported.
import cordon_server  # noqa: F401

# isort: split
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import patch

import grpc
import structlog

CALL_KEY = "cordon-test-call"
"""Of the metadata in which a test numbers its calls."""
ENTERED = "handler.entered"

Handler = Any
"""grpc.RpcMethodHandler: at run time it takes no type arguments."""
log = structlog.get_logger()


class Witness(grpc.aio.ServerInterceptor):
    """Logs where a handler begins."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return None
        kind = f"{_arity(handler.request_streaming)}_{_arity(handler.response_streaming)}"
        behaviour = getattr(handler, kind)

        def witnessed(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            numbers = dict(context.invocation_metadata() or ())
            method = handler_call_details.method
            log.info(ENTERED, method=method, call=numbers.get(CALL_KEY))
            return behaviour(request, context)

        return handler._replace(**{kind: witnessed})


def _arity(is_streaming: bool) -> str:
    return "stream" if is_streaming else "unary"


def main() -> None:
    from cordon_server.cli import app

    # Before cordon_server.api is imported nothing has read grpc.aio's name.
    make = grpc.aio.server

    def with_witness(*, interceptors: Sequence[Any] = (), **options: Any) -> grpc.aio.Server:
        return make(interceptors=[*interceptors, Witness()], **options)

    with patch.object(grpc.aio, "server", with_witness):
        app(["run", *sys.argv[1:]])


if __name__ == "__main__":
    main()
