"""The streaming process: what `cordon camera run` becomes once it has read its command line.

The command line's own libraries hold some 20 MB that a camera would carry for months on a machine
that has little. So the process replaces itself by a fresh interpreter, with the same process id,
and hands over what it was told through a pipe: the password is in no argument and no environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from cordon_camera.camera_toml import PASSWORD_VARIABLE
from cordon_camera.settings import SourceKind, SourceSettings, StreamSettings
from cordon_client.errors import ClientError, ExitCode, print_error

_INTERRUPTED = 130
_PIPE_BYTES_MAX = 64 * 1024
_FRUGAL = {
    # glibc: one heap for all threads, given back when it is free. Worth 6 MB here.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "65536",
    "MALLOC_TOP_PAD_": "0",
    # gRPC's older poller: the newer one hands each piece of a picture to another of its threads,
    # for a tenth more processor time. A gRPC that has lost the choice ignores it.
    "GRPC_EXPERIMENTS": "-event_engine_client",
    # NumPy's linear algebra is not used; its threads would each keep a buffer.
    "OPENBLAS_NUM_THREADS": "1",
}
"""Read by the C libraries when a process starts; what the environment already says wins."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that the streaming process is told."""

    source: SourceSettings
    stream: StreamSettings
    identity: Path
    server: str
    as_json: bool
    debug: bool


def become(job: Job) -> NoReturn:
    """Replaces this process by the streaming one; nothing of this one goes on."""
    told = to_bytes(job)
    # More would block: nobody reads before the replacement has begun.
    assert len(told) < _PIPE_BYTES_MAX
    reading, writing = os.pipe()
    os.write(writing, told)
    os.close(writing)
    os.set_inheritable(reading, True)
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = ["-P", "-m", "cordon_camera", str(reading), job.source.describe()]
    environment = {**_FRUGAL, **os.environ}
    environment.pop(PASSWORD_VARIABLE, None)
    os.execve(sys.executable, [sys.executable, *arguments], environment)


def main() -> NoReturn:
    """Reads the job from the pipe and streams; leaves with the exit code of its end."""
    job = from_bytes(_read_pipe(int(sys.argv[1])))
    # The transport's C core writes its own lines to standard error; ours say it better.
    os.environ.setdefault("GRPC_VERBOSITY", "INFO" if job.debug else "NONE")
    sys.exit(run(job))


def run(job: Job) -> int:
    """Streams to the end; errors are printed, once."""
    from cordon_camera.report import choose_report
    from cordon_camera.stream import CameraStream
    from cordon_client.identity import load_identity

    try:
        identity = replace(load_identity(job.identity), server=job.server)
        camera = CameraStream(identity, job.source, job.stream, choose_report(job.as_json))
        return asyncio.run(_until_told_to_stop(camera.run()))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ClientError as error:
        print_error(error, debug=job.debug)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the top: the person hears of it, with --debug in full
        print_error(error, debug=job.debug)
        return ExitCode.FAILED


async def _until_told_to_stop(streaming: Coroutine[Any, Any, ExitCode]) -> ExitCode:
    """Streams; SIGTERM ends it in order, as Ctrl-C does, and is no fault."""
    told = asyncio.Event()
    task = asyncio.ensure_future(streaming)

    def stop() -> None:
        told.set()
        task.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not told.is_set():
            raise
        return ExitCode.OK


def to_bytes(job: Job) -> bytes:
    """The job as JSON."""
    return json.dumps(asdict(job), default=str).encode()


def from_bytes(told: bytes) -> Job:
    """The job again."""
    values: dict[str, Any] = json.loads(told)
    source = values["source"]
    path = Path(source["path"]) if source["path"] else None
    return Job(
        source=SourceSettings(**{**source, "kind": SourceKind(source["kind"]), "path": path}),
        stream=StreamSettings(**values["stream"]),
        identity=Path(values["identity"]),
        server=values["server"],
        as_json=values["as_json"],
        debug=values["debug"],
    )


def _read_pipe(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as pipe:
        return pipe.read()
