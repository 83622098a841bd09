"""One JSON object a line on standard error: events, not sentences.

No image, template, token or key is ever an event's value.
"""

from __future__ import annotations

import logging
import sys

import structlog

# Without the frames' variables, which are the package's default: among them are passwords, tokens
# and pictures.
_TRACEBACKS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure_logs(level: str) -> None:
    """Sets up logging; called once, before any gRPC object exists (a known deadlock otherwise)."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.ExceptionRenderer(_TRACEBACKS),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
