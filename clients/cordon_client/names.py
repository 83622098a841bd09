"""Resource names: people type the short ones, the protocol wants the whole."""

from __future__ import annotations

import re

from cordon_client.errors import ClientError, ExitCode

_MATCH = re.compile(
    "((?P<short>[^/]+)/|deployments/(?P<whole>[^/]+)/matches/)(?P<number>[1-9][0-9]{0,18})"
)


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


def parse_match(given: str) -> str:
    """ "market/7" or "deployments/market/matches/7" -> the latter."""
    found = _MATCH.fullmatch(given)
    if found is None:
        raise ClientError(
            f"{given!r} does not name a match.",
            why="It has to be DEPLOYMENT/MATCH, as market/7: match 7 of the deployment market.",
            hint="cordon control show market/7",
            exit_code=ExitCode.USAGE,
        )
    return f"deployments/{found['short'] or found['whole']}/matches/{found['number']}"


def short(name: str) -> str:
    """The last part: what people call it."""
    return name.rsplit("/", 1)[-1]


def _within(collection: str, given: str) -> str:
    return given if given.startswith(f"{collection}/") else f"{collection}/{given}"
