"""Whether a call may begin, and whether it may go on: the permission table applied to who calls.

It reads what a caller shows beside his certificate: at most one token, at most one reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cordon_server.domain import InvalidInput, NotPermitted, Unauthenticated
from cordon_server.identity.calls import NEVER, Call
from cordon_server.identity.peers import Peer
from cordon_server.identity.people import People, Person
from cordon_server.identity.permissions import PERMISSIONS, permission, words
from cordon_server.identity.scopes import Scopes
from cordon_server.identity.tokens import SIGN_IN

TOKEN_KEY = "authorization"
TOKEN_SCHEME = "Bearer "
JUSTIFICATION_KEY = "cordon-justification"
"""ASCII; with "-bin" appended its value is UTF-8."""
JUSTIFICATION_CHARACTERS_MAX = 500
IDENTITY_SERVICE = "/cordon.v1.IdentityService/"

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """Who makes a call that may be made."""

    peer: Peer
    person: Person | None
    """None where the certificate alone calls."""
    justification: str
    """Why, in his words; empty where none was given."""


class Admission:
    """Admits calls, and judges those that run."""

    def __init__(self, people: People, scopes: Scopes, *, clock: Callable[[], datetime]) -> None:
        self._people = people
        self._scopes = scopes
        self._clock = clock

    def admit(self, method: str, peer: Peer, metadata: Metadata) -> Admitted:
        """Who calls, when the table lets him; raises `NotPermitted`, `Unauthenticated`, or
        `InvalidInput` for a reason that cannot be kept."""
        shown = tuple(metadata)
        check_machine(method, peer)
        person = self._person(method, peer, shown)
        now = self._clock()
        check_person(method, person, now)
        check_fresh(method, person, now, self._people.rules.fresh_for)
        justification = read_justification(shown)
        check_justified(method, justification)
        return Admitted(peer, person, justification)

    async def admit_to(self, call: Call[Person], name: str, *others: str) -> None:
        """Lets a call act on what its request names, and on what else it looks at, when the table
        does; raises as `Scopes.check` does. From then on the call is judged by the first, too."""
        call.deployment_id = await self._scopes.check(call.method, call.peer, call.person, name)
        for other in others:
            await self._scopes.check(call.method, call.peer, call.person, other)

    def judge(self, call: Call[Person]) -> datetime:
        """Until when a running call may go on by what is on record of its person; raises the error
        that it is to end with. A password need not stay fresh."""
        if call.person is None or outlives_session(call.method):
            return NEVER
        person = self._people.again(call.person)
        check_person(call.method, person, self._clock())
        if call.deployment_id:
            self._scopes.check_assigned(call.method, person, call.deployment_id)
        return min(person.good_until, training_end(call.method, person))

    def _person(self, method: str, peer: Peer, shown: Metadata) -> Person | None:
        row = permission(method)
        if not row.people:
            return None
        token = read_token(shown)
        if token is None:
            return None
        return self._people.authenticate(token, peer, even_expired=row.even_expired)


def outlives_session(method: str) -> bool:
    """Whether a call of the method is left to answer although its session is over: signing out ends
    the session that it is made in, and so may what an administrator does to himself."""
    return method.startswith(IDENTITY_SERVICE)


def read_token(metadata: Metadata) -> str | None:
    """The one token shown, or None; raises `Unauthenticated` for anything else in its place."""
    shown = [str(value) for key, value in metadata if key == TOKEN_KEY]
    if not shown:
        return None
    if len(shown) > 1 or not shown[0].startswith(TOKEN_SCHEME):
        raise Unauthenticated(
            f"the metadata {TOKEN_KEY} must be there once and say {TOKEN_SCHEME!r} before the "
            f"token; {SIGN_IN}",
            reason="TOKEN_FORM",
        )
    return shown[0].removeprefix(TOKEN_SCHEME)


def read_justification(metadata: Metadata) -> str:
    """The one reason given, or nothing; raises `InvalidInput` when it is not one line of text."""
    binary = f"{JUSTIFICATION_KEY}-bin"
    given = [value for key, value in metadata if key in (JUSTIFICATION_KEY, binary)]
    try:
        texts = [each.decode() if isinstance(each, bytes) else each for each in given]
    except UnicodeDecodeError:
        texts = ["\0"]
    if any(not _is_line(each) for each in texts) or len(texts) > 1:
        raise InvalidInput(
            f"the reason must be one line of {JUSTIFICATION_CHARACTERS_MAX} characters at most, "
            "given once",
            field=JUSTIFICATION_KEY,
        )
    return texts[0].strip() if texts else ""


def check_machine(method: str, peer: Peer) -> None:
    """Raises `NotPermitted` unless certificates of this role may call the method."""
    machines = permission(method).machines
    if peer.spiffe_id.role not in machines:
        wanted = " or ".join(sorted(machines)) or "no"
        raise NotPermitted(
            f"{method} is for {wanted} certificates and {peer.spiffe_id} is a "
            f"{peer.spiffe_id.role}; use an identity of the right role (--identity DIR)",
            reason="WRONG_MACHINE",
        )


def check_person(method: str, person: Person | None, now: datetime) -> None:
    """Raises `Unauthenticated` when the method wants a person and there is none, `NotPermitted`
    when this one may not call it. Asked when a call begins and while it runs."""
    row = permission(method)
    if person is None:
        if row.people and not row.person_optional:
            raise Unauthenticated(
                f"{method} wants a person and nobody is signed in; {SIGN_IN}",
                reason="SIGN_IN_NEEDED",
            )
        return
    if not row.people & person.roles:
        raise NotPermitted(
            f"{method} is for {words(row.people)} and {person.user_id} is {words(person.roles)}; "
            "ask someone of that role, or an administrator for it",
            reason="WRONG_ROLE",
        )
    if row.training and not _is_trained(person, now):
        raise NotPermitted(
            f"no valid training of {person.user_id} is on record (R27); once trained, an "
            f"administrator notes it with: cordon admin user train {person.user_id}",
            reason="TRAINING_NEEDED",
        )


def check_fresh(method: str, person: Person | None, now: datetime, fresh_for: timedelta) -> None:
    """Raises `NotPermitted` when the method wants the password given just now and it was not."""
    if permission(method).step_up and (person is None or now - person.auth_time > fresh_for):
        raise NotPermitted(
            f"{method} wants your password again, given in the last {fresh_for.seconds} seconds; "
            "run: cordon admin step-up",
            reason="STEP_UP_NEEDED",
        )


def check_justified(method: str, justification: str) -> None:
    """Raises `NotPermitted` when the method wants a reason and none was given."""
    if permission(method).justification and not justification:
        raise NotPermitted(
            f"{method} wants to know why, for the record; say it with --reason TEXT",
            reason="JUSTIFICATION_NEEDED",
        )


def training_end(method: str, person: Person) -> datetime:
    """When the person's permission to call the method ends by itself."""
    until = person.training_expire_time if permission(method).training else None
    return until or NEVER


def permitted(peer: Peer, person: Person | None, now: datetime) -> list[str]:
    """The methods that the caller may call from here, a fresh password and a reason apart."""
    return [name for name in sorted(PERMISSIONS) if _is_permitted(name, peer, person, now)]


def _is_permitted(method: str, peer: Peer, person: Person | None, now: datetime) -> bool:
    try:
        check_machine(method, peer)
        check_person(method, person if permission(method).people else None, now)
    except (NotPermitted, Unauthenticated):
        return False
    return True


def _is_trained(person: Person, now: datetime) -> bool:
    return person.training_expire_time is not None and now < person.training_expire_time


def _is_line(text: str) -> bool:
    return len(text) <= JUSTIFICATION_CHARACTERS_MAX and text.isprintable()
