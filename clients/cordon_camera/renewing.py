"""A camera's next certificate, made in a process that is gone a second later.

What makes keys and requests takes twelve megabytes, which the streaming process would carry on for
months. So it starts this module, which renews the identity folder as `cordon camera renew` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path

from cordon_client.errors import ClientError
from cordon_client.identity import ClientIdentity, load_identity

_S_MAX = 60.0


async def renewed(identity: ClientIdentity) -> ClientIdentity:
    """The identity with its next certificate, which is in its folder too; a ClientError else."""
    command = (sys.executable, "-P", "-m", __name__, str(identity.folder), identity.server)
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdout=pipe, stdin=pipe)
    try:
        async with asyncio.timeout(_S_MAX):
            told, _ = await child.communicate()
    except TimeoutError as error:
        raise ClientError(f"The certificate was not renewed within {_S_MAX:.0f} s.") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    words = json.loads(told or b'{"what": "The process that renews it died."}')
    if words is not None:
        raise ClientError(**words)
    return replace(load_identity(identity.folder), server=identity.server)


def main() -> None:
    """Prints null, or what went wrong as a ClientError's words."""
    folder, server = Path(sys.argv[1]), sys.argv[2]
    try:
        asyncio.run(_renew(replace(load_identity(folder), server=server)))
    except ClientError as error:
        print(json.dumps({"what": error.what, "why": error.why, "hint": error.hint}))
    except OSError as error:
        print(json.dumps({"what": f"{error.filename}: {error.strerror}."}))
    else:
        print("null")


async def _renew(identity: ClientIdentity) -> None:
    from cordon_client import machine
    from cordon_client.channel import explained

    async with explained(identity):
        found = await machine.renew(identity)
    machine.keep(found)


if __name__ == "__main__":
    main()
