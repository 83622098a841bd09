"""Who may be listed, and with what said of him: the rules of a policy, applied to one application.

Pure: the caller gives the time, and what the list holds already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from cordon_server.authority.records import Actor
from cordon_server.authority.watchlist_records import AgeGroup, LawfulSource
from cordon_server.domain import VOLUNTEER, NotListable, Reason, ReasonCode

ADULT_YEARS = 18
NOBODY = Actor("", "")
"""Who enrols where no person does: tests."""


class Needed(StrEnum):
    """What a policy may ask of every entry beside its category."""

    LAWFUL_SOURCE = "lawful_source"
    RATIONALE = "rationale"
    REQUESTER = "requester"
    IMAGE_DATE = "image_date"
    BIRTH = "birth"


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """One of the closed set of reasons to be listed (R6)."""

    entries_max: int | None = None
    """Entries in this category; None for as many as the list takes."""
    minors: bool = False
    """Whether it may hold people under 18 (R18)."""


@dataclass(frozen=True, slots=True)
class EntryRules:
    """What the policy asks of entries."""

    categories: Mapping[str, CategoryRule]
    needed: frozenset[Needed] = frozenset()
    rationale_characters_min: int = 0
    image_age_max: timedelta | None = None
    """Of a picture on the day it is enrolled (R23); None for any."""
    proposal_rows_min: int | None = None
    """So many pictures come by a proposal alone; None for as many as there are without one."""


@dataclass(frozen=True, slots=True)
class ListRules:
    """Limits and scores of one watchlist."""

    threshold: float
    duplicate_score: float
    entries_max: int
    references_per_entry_max: int
    entry: EntryRules


@dataclass(frozen=True, slots=True)
class Particulars:
    """What is said of a subject and a picture, beside category and threshold."""

    lawful_source: LawfulSource | None = None
    rationale: str = ""
    requester: str = ""
    birth_date: date | None = None
    age_group: AgeGroup | None = None
    expire_time: datetime | None = None
    captured_on: date | None = None
    """When the picture was taken."""
    override_reason: str = ""
    """Why a picture below the gate is wanted all the same; empty where it is not."""


@dataclass(frozen=True, slots=True)
class Application:
    """A picture that asks to be on the list."""

    entry_id: str
    category: str
    threshold: float | None
    image: bytes = field(repr=False)
    face_point: tuple[float, float] | None
    particulars: Particulars = Particulars()
    applicant: Actor = NOBODY

    @property
    def image_sha256(self) -> str:
        return sha256(self.image)

    def age_group(self, today: date) -> AgeGroup | None:
        """Adult or minor, by the date of birth where there is one, else as stated."""
        birth = self.particulars.birth_date
        if birth is None:
            return self.particulars.age_group
        return AgeGroup.ADULT if is_adult(birth, today) else AgeGroup.MINOR


def sha256(data: bytes) -> str:
    """Hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def proposal_needed(rules: EntryRules, enrolled: int, rows: int) -> Reason | None:
    """Why so many rows are too many beside the pictures that were enrolled without a proposal since
    somebody reviewed the list; None where they are not. In small parts they are no fewer (R6)."""
    least = rules.proposal_rows_min
    if least is None or enrolled + rows < least:
        return None
    before = f"{enrolled} were enrolled without since the list was last reviewed; " * bool(enrolled)
    message = (
        f"by the policy {least} pictures or more are proposed by one person and applied by "
        f"another, and {before}propose these: cordon admin watchlist propose"
    )
    return Reason(ReasonCode.PROPOSAL_NEEDED, message)


Broken = tuple[str, Reason]
"""The field and the reason."""


def is_adult(birth: date, today: date) -> bool:
    """Whether somebody born then is 18; who was born on 29 February is on 1 March."""
    grown = (birth.year + ADULT_YEARS, birth.month, birth.day)
    return (today.year, today.month, today.day) >= grown


def check_application(
    application: Application, rules: ListRules, now: datetime, *, is_new: bool
) -> None:
    """Raises `NotListable` with every rule that the application breaks.

    Of a picture for an entry that is there only its own rules count: the entry keeps what it has.
    """
    broken = [*_picture(application, rules.entry, now.date())]
    if is_new:
        broken = [*_entry(application, rules, now), *broken]
    if broken:
        raise NotListable(tuple(broken))


def _entry(application: Application, rules: ListRules, now: datetime) -> Iterator[Broken]:
    entry, given = rules.entry, application.particulars
    if application.category not in entry.categories:
        yield _broken(
            "category",
            ReasonCode.CATEGORY_UNKNOWN,
            f"category must be one of {', '.join(entry.categories)} (R6)",
        )
    if application.threshold is not None and application.threshold < rules.threshold:
        yield _broken(
            "threshold",
            ReasonCode.THRESHOLD_BELOW_FLOOR,
            f"an entry's own threshold cannot be below the deployment's, {rules.threshold:g}; "
            "leave it out or raise it (R15)",
        )
    if Needed.LAWFUL_SOURCE in entry.needed and given.lawful_source is None:
        yield _broken(
            "lawful_source",
            ReasonCode.SOURCE_MISSING,
            f"say where the picture comes from: {', '.join(LawfulSource)} (R6)",
        )
    if application.category == VOLUNTEER:
        yield from _consent(given)
    if Needed.REQUESTER in entry.needed and not given.requester.strip():
        yield _broken(
            "requester", ReasonCode.REQUESTER_MISSING, "say who asked for the listing (R6)"
        )
    if given.expire_time is not None and given.expire_time <= now:
        yield _broken(
            "expire_time", ReasonCode.EXPIRED, "the entry would be over already; give a later time"
        )
    yield from _age(application, entry, now.date())
    yield from _rationale(application, entry, now.date())


def _consent(given: Particulars) -> Iterator[Broken]:
    if given.lawful_source is not LawfulSource.SUBJECT:
        yield _broken(
            "lawful_source",
            ReasonCode.SOURCE_MISSING,
            f"a volunteer's picture comes from the volunteer: {LawfulSource.SUBJECT} (R28)",
        )
    if not given.rationale.strip():
        yield _broken(
            "rationale",
            ReasonCode.RATIONALE_MISSING,
            "say where the volunteer's consent is on file (R28)",
        )


def _age(application: Application, rules: EntryRules, today: date) -> Iterator[Broken]:
    given, found = application.particulars, application.age_group(today)
    if given.birth_date is not None and given.birth_date > today:
        yield _broken(
            "birth_date", ReasonCode.BIRTH_CONTRADICTED, "nobody is born after today; mend the date"
        )
    elif given.age_group not in (None, found):
        yield _broken(
            "age_group",
            ReasonCode.BIRTH_CONTRADICTED,
            f"by the date of birth this is {_an(found)}; mend the date or the age group (R18)",
        )
    if found is None and Needed.BIRTH in rules.needed:
        yield _broken(
            "birth_date",
            ReasonCode.BIRTH_MISSING,
            "give the date of birth or the age group; it is never guessed from the face (R18)",
        )
    category = rules.categories.get(application.category)
    if found is AgeGroup.MINOR and category is not None and not category.minors:
        yield _broken(
            "category",
            ReasonCode.MINOR_NOT_ALLOWED,
            f"nobody under {ADULT_YEARS} is listed as {application.category} (R18)",
        )


def _rationale(application: Application, rules: EntryRules, today: date) -> Iterator[Broken]:
    is_minor = application.age_group(today) is AgeGroup.MINOR
    if Needed.RATIONALE not in rules.needed and not is_minor:
        return
    least = max(1, rules.rationale_characters_min)
    if len(application.particulars.rationale.strip()) < least:
        yield _broken(
            "rationale",
            ReasonCode.RATIONALE_MISSING,
            f"say in {least} characters or more why {_whom(is_minor)} has to be listed here and "
            f"now ({'R18' if is_minor else 'R26'})",
        )


def _picture(application: Application, rules: EntryRules, today: date) -> Iterator[Broken]:
    taken = application.particulars.captured_on
    if taken is None:
        if Needed.IMAGE_DATE in rules.needed:
            yield _broken(
                "captured_on",
                ReasonCode.IMAGE_DATE_MISSING,
                "say on which day the picture was taken (R5, R23)",
            )
        return
    if taken > today:
        yield _broken(
            "captured_on", ReasonCode.IMAGE_DATE_MISSING, "no picture is taken after today"
        )
    elif rules.image_age_max is not None and today - taken > rules.image_age_max:
        yield _broken(
            "captured_on",
            ReasonCode.IMAGE_STALE,
            f"the picture is {(today - taken).days} days old, {rules.image_age_max.days} are "
            "allowed; give a newer one (R5, R23)",
        )


def _broken(name: str, code: ReasonCode, message: str) -> Broken:
    return name, Reason(code, message)


def _an(group: AgeGroup | None) -> str:
    return "an adult" if group is AgeGroup.ADULT else "a minor"


def _whom(is_minor: bool) -> str:
    return "somebody under 18" if is_minor else "this person"
