"""Who calls in the permission matrix and what they show: people of every role at machines of every
role, with tokens that are good and tokens that are wrong in one way each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.identity.names import PersonRole, Role
from tests.helpers.matrix import Metadata
from tests.helpers.prepared_site import Desk, Machine, Mint

REASON: Metadata = (("cordon-justification", "the matrix wants to know"),)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Caller:
    """A person at a machine."""

    mint: Mint
    role: PersonRole
    here: Machine
    elsewhere: Machine
    """Another machine of the same role."""

    def user(self, suffix: str = "") -> str:
        return user_of(self.role) + suffix


@dataclass(frozen=True, slots=True)
class Kind:
    """What a person shows."""

    name: str
    show: Callable[[Caller, str], Metadata]
    """By the caller and the use that the session is for."""
    refused: frozenset[str] = frozenset()
    """Reasons that it is to be refused for; none where it is good."""
    is_expired: bool = False
    """And nothing else is wrong with it."""
    is_fresh: bool = True
    is_trained: bool = True
    is_assigned: bool = True
    """To the deployment "ours"."""
    is_maker: bool = True
    """Of that, where he is a watchlist officer."""


def user_of(role: PersonRole) -> str:
    return role.replace("_", "-")


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def shown(caller: Caller, use: str, suffix: str = "", **changed: object) -> Metadata:
    """A token signed by the server's key, good but for what is changed."""
    claims = caller.mint.claims(caller.user(suffix), caller.here, use, **changed)
    return bearer(caller.mint.sign(claims))


def now_of(caller: Caller) -> int:
    return caller.mint.claims("", caller.here, "").iat


def dated(
    caller: Caller, use: str, *, begin_s: int, end_s: int, auth_s: int | None = None
) -> Metadata:
    """A token of these dates, in seconds from now."""
    now = now_of(caller)
    auth = begin_s if auth_s is None else auth_s
    begin = now + begin_s
    return shown(caller, use, iat=begin, nbf=begin, exp=now + end_s, auth_time=now + auth)


def elsewheres(caller: Caller, use: str) -> Metadata:
    return bearer(caller.mint.sign(caller.mint.claims(caller.user(), caller.elsewhere, use)))


def another_key(caller: Caller, use: str, kid: str = "") -> Metadata:
    claims = caller.mint.claims(caller.user(), caller.here, use)
    return bearer(caller.mint.sign(claims, kid=kid, key=Ed25519PrivateKey.generate()))


def anothers_session(caller: Caller, use: str) -> Metadata:
    other = next(role for role in PersonRole if role is not caller.role)
    sid = caller.mint.claims(user_of(other), caller.here, use).sid
    return shown(caller, use, sid=sid)


def refused(*reasons: str) -> frozenset[str]:
    return frozenset(reasons)


TEN_YEARS_S = 10 * 365 * 24 * 3600
KINDS = (
    Kind("signed in", shown),
    Kind(
        "signed in a while ago",
        lambda caller, use: dated(caller, use, begin_s=-150, end_s=150),
        is_fresh=False,
    ),
    Kind(
        "untrained",
        lambda caller, use: shown(caller, use, "-untrained"),
        is_trained=False,
        is_maker=False,
    ),
    Kind(
        "unassigned",
        lambda caller, use: shown(caller, use, "-unassigned"),
        is_assigned=False,
    ),
    Kind(
        "expired",
        lambda caller, use: dated(caller, use, begin_s=-420, end_s=-1, auth_s=0),
        refused("TOKEN_EXPIRED"),
        is_expired=True,
    ),
    Kind(
        "not valid yet",
        lambda caller, use: dated(caller, use, begin_s=90, end_s=390),
        refused("TOKEN_NOT_YET"),
    ),
    Kind(
        "living ten years",
        lambda caller, use: dated(caller, use, begin_s=0, end_s=TEN_YEARS_S),
        refused("TOKEN_LIFE"),
    ),
    Kind(
        "of another audience",
        lambda caller, use: shown(caller, use, aud="elsewhere"),
        refused("TOKEN_AUDIENCE"),
    ),
    Kind(
        "of another issuer",
        lambda caller, use: shown(caller, use, iss="spiffe://other.example"),
        refused("TOKEN_ISSUER"),
    ),
    Kind("bound to another certificate", elsewheres, refused("TOKEN_BINDING")),
    Kind("signed by another key", another_key, refused("TOKEN_SIGNATURE")),
    Kind(
        "of an unknown key",
        lambda caller, use: another_key(caller, use, "0123456789abcdef"),
        refused("TOKEN_KEY"),
    ),
    Kind(
        "session revoked",
        lambda caller, _: shown(caller, "revoked"),
        refused("SESSION_OVER"),
    ),
    Kind("session idle", lambda caller, _: shown(caller, "idle"), refused("SESSION_EXPIRED")),
    Kind("session over", lambda caller, _: shown(caller, "over"), refused("SESSION_EXPIRED")),
    Kind("another's session", anothers_session, refused("SESSION_OVER")),
    Kind(
        "user locked",
        lambda caller, use: shown(caller, use, "-locked"),
        refused("SESSION_OVER", "USER_SHUT_OUT"),
    ),
    Kind(
        "token twice",
        lambda caller, use: shown(caller, use) * 2,
        refused("TOKEN_FORM"),
    ),
    Kind(
        "not a bearer's",
        lambda caller, use: (("authorization", shown(caller, use)[0][1].removeprefix("Bearer ")),),
        refused("TOKEN_FORM"),
    ),
)
GOOD = tuple(kind for kind in KINDS if not kind.refused)


@dataclass(frozen=True, slots=True)
class People:
    """Who and what is on record."""

    mint: Mint
    here: dict[Role, Machine]
    elsewhere: dict[Role, Machine]
    unknown_camera: Machine

    def caller(self, role: PersonRole, machine: Role) -> Caller:
        return Caller(self.mint, role, self.here[machine], self.elsewhere[machine])


def fill(desk: Desk) -> People:
    """Two machines of each role; of each role of people one, one untrained, one unassigned and one
    to be locked, signed in at every machine; deployments in draft, the first with people assigned
    to it."""
    here = {role: desk.machine(role, f"{role}-1") for role in Role}
    elsewhere = {role: desk.machine(role, f"{role}-2") for role in Role}
    for role in PersonRole:
        for suffix in ("", "-untrained", "-unassigned", "-locked"):
            desk.user(user_of(role) + suffix, role, is_trained=suffix != "-untrained")
            for machine in (*here.values(), *elsewhere.values()):
                fill_sessions(desk, user_of(role) + suffix, machine)
    desk.camera("camera-1")
    desk.camera("camera-2")
    assigned = [user_of(role) + suffix for role in PersonRole for suffix in ("", "-untrained")]
    desk.deployment("ours", "camera-1", "watchlist-officer", elsewhere[Role.ADMIN], assigned)
    desk.deployment("others", "camera-2", "somebody", elsewhere[Role.ADMIN])
    desk.deployment("his-own", "camera-2", "authorising-officer", elsewhere[Role.ADMIN])
    desk.deployment("made-here", "camera-2", "somebody", here[Role.ADMIN])
    return People(desk.mint, here, elsewhere, desk.machine(Role.CAMERA, "unknown"))


def fill_sessions(desk: Desk, user_id: str, machine: Machine) -> None:
    for use in ("calls", "revoked", *(f"sign out {kind.name}" for kind in KINDS)):
        desk.session(user_id, machine, use)
    desk.session(user_id, machine, "idle", age=HOUR, idle=31 * MINUTE)
    desk.session(user_id, machine, "over", age=10 * HOUR + MINUTE)
