"""Resource names: people type the short ones, the protocol wants the whole."""

from __future__ import annotations

from cordon_client.errors import ClientError, ExitCode


def camera_name(given: str) -> str:
    """ "north" or "cameras/north" -> "cameras/north"."""
    return _within("cameras", given)


def deployment_name(given: str) -> str:
    """ "market" or "deployments/market" -> "deployments/market"."""
    return _within("deployments", given)


def user_name(given: str) -> str:
    """ "anna" or "users/anna" -> "users/anna"."""
    return _within("users", given)


def hold_name(given: str) -> str:
    """ "case-7" or "holds/case-7" -> "holds/case-7"."""
    return _within("holds", given)


def entry_name(deployment: str, ref: str) -> str:
    """A deployment and an external reference, or the entry's whole name."""
    if ref.startswith("deployments/"):
        return ref
    return f"{deployment_name(deployment)}/entries/{ref}"


def match_name(deployment: str, sequence: int) -> str:
    """A deployment, short or whole, and a position in its log."""
    return f"{deployment_name(deployment)}/matches/{sequence}"


def parse_match(given: str) -> str:
    """ "market/7" or "deployments/market/matches/7" -> the latter."""
    match given.split("/"):
        case ["deployments", _, "matches", sequence] if sequence.isdecimal():
            return given
        case [deployment, sequence] if deployment and sequence.isdecimal():
            return match_name(deployment, int(sequence))
    raise ClientError(
        f"{given!r} does not name a match.",
        why="It has to be DEPLOYMENT/SEQ.",
        hint="cordon control show market/7",
        exit_code=ExitCode.USAGE,
    )


def short(name: str) -> str:
    """The last part: what people call it."""
    return name.rsplit("/", 1)[-1]


def _within(collection: str, given: str) -> str:
    return given if given.startswith(f"{collection}/") else f"{collection}/{given}"
