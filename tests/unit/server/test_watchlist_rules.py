"""Who may be listed: each rule has a test that breaks it alone, and is refused by its code."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cordon_server.authority.watchlist_records import AgeGroup, LawfulSource
from cordon_server.authority.watchlist_rules import (
    Application,
    CategoryRule,
    EntryRules,
    ListRules,
    Needed,
    Particulars,
    check_application,
    is_adult,
)
from cordon_server.domain import NotListable, ReasonCode
from tests.unit.server.rooms import NOON

TODAY = NOON.date()
STRICT = ListRules(
    threshold=0.5,
    duplicate_score=0.8,
    entries_max=9,
    references_per_entry_max=9,
    entry=EntryRules(
        categories={"wanted": CategoryRule(), "missing": CategoryRule(minors=True)},
        needed=frozenset(Needed),
        rationale_characters_min=20,
        image_age_max=timedelta(days=365),
    ),
)
LAX = replace(STRICT, entry=EntryRules({"wanted": CategoryRule(), "missing": CategoryRule()}))
GOOD = Application(
    "A-17",
    "wanted",
    0.6,
    b"picture",
    None,
    Particulars(
        lawful_source=LawfulSource.CUSTODY,
        rationale="wanted on warrant for robbery, seen here last week",
        requester="investigation 4",
        birth_date=date(1980, 2, 29),
        age_group=AgeGroup.ADULT,
        expire_time=NOON + timedelta(hours=3),
        captured_on=TODAY - timedelta(days=365),
    ),
)


def codes(application: Application, rules: ListRules = STRICT, *, is_new: bool = True) -> list[str]:
    """The codes of the rules that an application breaks, with their fields."""
    try:
        check_application(application, rules, NOON, is_new=is_new)
    except NotListable as refused:
        fields = [field for field, _ in refused.violations]
        return [
            f"{field}: {reason.code.name}"
            for field, reason in zip(fields, refused.reasons, strict=True)
        ]
    return []


def saying(**particulars: object) -> Application:
    return replace(GOOD, particulars=replace(GOOD.particulars, **particulars))  # type: ignore[arg-type]  # any field


BORN_17_YEARS_AGO = date(TODAY.year - 17, 1, 1)
BROKEN = {
    "category: CATEGORY_UNKNOWN": replace(GOOD, category="other"),
    "threshold: THRESHOLD_BELOW_FLOOR": replace(GOOD, threshold=0.49),
    "lawful_source: SOURCE_MISSING": saying(lawful_source=None),
    "requester: REQUESTER_MISSING": saying(requester=" "),
    "rationale: RATIONALE_MISSING": saying(rationale="wanted" + " " * 20),
    "birth_date: BIRTH_MISSING": saying(birth_date=None, age_group=None),
    "birth_date: BIRTH_CONTRADICTED": saying(birth_date=TODAY + timedelta(days=1), age_group=None),
    "age_group: BIRTH_CONTRADICTED": saying(age_group=AgeGroup.MINOR),
    "category: MINOR_NOT_ALLOWED": saying(birth_date=BORN_17_YEARS_AGO, age_group=None),
    "captured_on: IMAGE_DATE_MISSING": saying(captured_on=None),
    "captured_on: IMAGE_STALE": saying(captured_on=TODAY - timedelta(days=366)),
    "expire_time: EXPIRED": saying(expire_time=NOON),
}


@pytest.mark.serves("R6", "R26")
def test_what_keeps_every_rule_is_taken() -> None:
    assert codes(GOOD) == []


@pytest.mark.serves("R6", "R18", "R23", "R26")
@pytest.mark.parametrize("broken", BROKEN)
def test_each_rule_refuses_with_its_code_and_field(broken: str) -> None:
    found = codes(BROKEN[broken])

    assert broken in found
    if "birth_date: BIRTH_CONTRADICTED" not in found:  # who is not born is a minor too
        assert found == [broken]


@pytest.mark.serves("R6", "R15", "R18", "R23", "R26")
@pytest.mark.parametrize(
    "application",
    [
        replace(GOOD, threshold=STRICT.threshold),
        saying(rationale="x" * 20),
        saying(captured_on=TODAY - timedelta(days=365)),
        saying(captured_on=TODAY),
    ],
)
def test_what_just_keeps_a_rule_is_taken(application: Application) -> None:
    assert codes(application) == []


@pytest.mark.serves("R18")
def test_who_is_born_today_is_a_child_and_no_mistake() -> None:
    born_today = saying(birth_date=TODAY, age_group=None)

    assert codes(replace(born_today, category="missing")) == []
    assert codes(replace(born_today, category="other")) == ["category: CATEGORY_UNKNOWN"]


@pytest.mark.serves("R18")
@pytest.mark.parametrize(
    ("birth", "said", "words"),
    [
        (date(1980, 2, 29), AgeGroup.MINOR, "this is an adult"),
        (BORN_17_YEARS_AGO, AgeGroup.ADULT, "this is a minor"),
    ],
)
def test_an_age_group_that_the_date_of_birth_contradicts_is_told_as_what_it_is(
    birth: date, said: AgeGroup, words: str
) -> None:
    with pytest.raises(NotListable) as refused:
        check_application(
            replace(saying(birth_date=birth, age_group=said), category="missing"),
            STRICT,
            NOON,
            is_new=True,
        )

    assert [words in reason.message for reason in refused.value.reasons] == [True]


@pytest.mark.serves("R18", "R26")
@pytest.mark.parametrize(
    ("birth", "words"),
    [
        (date(1980, 2, 29), ("this person", "R26")),
        (BORN_17_YEARS_AGO, ("somebody under 18", "R18")),
    ],
)
def test_a_missing_rationale_says_of_whom_and_by_which_rule(
    birth: date, words: tuple[str, str]
) -> None:
    bare = replace(saying(birth_date=birth, age_group=None, rationale=""), category="missing")
    with pytest.raises(NotListable) as refused:
        check_application(bare, STRICT, NOON, is_new=True)

    (reason,) = refused.value.reasons
    assert [each in reason.message for each in words] == [True, True]


def test_pictures_may_be_of_any_age_where_the_policy_says_nothing() -> None:
    assert codes(saying(captured_on=date(1950, 1, 1)), LAX) == []


@pytest.mark.serves("R6")
def test_every_broken_rule_is_told_at_once() -> None:
    bare = Application("A-17", "other", None, b"picture", None)

    assert codes(bare) == [
        "category: CATEGORY_UNKNOWN",
        "lawful_source: SOURCE_MISSING",
        "requester: REQUESTER_MISSING",
        "birth_date: BIRTH_MISSING",
        "rationale: RATIONALE_MISSING",
        "captured_on: IMAGE_DATE_MISSING",
    ]


def test_a_policy_that_needs_nothing_takes_a_category_alone() -> None:
    assert codes(Application("A-17", "wanted", None, b"picture", None), LAX) == []


@pytest.mark.serves("R18")
def test_a_minor_needs_a_category_that_takes_minors_and_a_rationale_whatever_the_policy() -> None:
    rules = replace(
        LAX, entry=EntryRules({"wanted": CategoryRule(), "missing": CategoryRule(minors=True)})
    )
    child = Application(
        "A-17", "missing", None, b"picture", None, Particulars(age_group=AgeGroup.MINOR)
    )

    assert codes(child, rules) == ["rationale: RATIONALE_MISSING"]
    with_why = replace(child, particulars=replace(child.particulars, rationale="ran away"))
    assert codes(with_why, rules) == []
    assert codes(replace(with_why, category="wanted"), rules) == ["category: MINOR_NOT_ALLOWED"]


def test_another_picture_of_an_entry_has_to_keep_the_rules_of_pictures_alone() -> None:
    bare = Application("A-17", "other", None, b"picture", None, Particulars(captured_on=TODAY))

    assert codes(bare, is_new=False) == []
    old = replace(bare, particulars=Particulars(captured_on=date(2001, 1, 1)))
    assert codes(old, is_new=False) == ["captured_on: IMAGE_STALE"]


@pytest.mark.serves("R18")
@pytest.mark.parametrize(
    ("birth", "day", "adult"),
    [
        (date(2000, 6, 1), date(2018, 6, 1), True),
        (date(2000, 6, 1), date(2018, 5, 31), False),
        (date(2000, 2, 29), date(2018, 2, 28), False),
        (date(2000, 2, 29), date(2018, 3, 1), True),
    ],
)
def test_who_is_18_is_an_adult(birth: date, day: date, adult: bool) -> None:
    assert is_adult(birth, day) is adult


MUTATIONS = st.fixed_dictionaries(
    {},
    optional={
        "category": st.text(max_size=12).filter(lambda text: text not in STRICT.entry.categories),
        "threshold": st.floats(-1, 0.4999),
        "lawful_source": st.none(),
        "requester": st.just("") | st.text(" \t", max_size=3),
        "rationale": st.text("ab ", max_size=19),
        "captured_on": st.none()
        | st.dates(max_value=TODAY - timedelta(days=366))
        | st.dates(min_value=TODAY + timedelta(days=1)),
        "expire_time": st.timedeltas(min_value=-timedelta(days=999), max_value=timedelta(0)).map(
            lambda ago: NOON + ago
        ),
    },
)
OF_APPLICATION = {"category", "threshold"}


@pytest.mark.serves("R6")
@given(MUTATIONS)
def test_of_any_mutations_each_is_refused_by_its_field_and_nothing_else_is(
    mutations: dict[str, object],
) -> None:
    particulars = {name: mutations[name] for name in mutations.keys() - OF_APPLICATION}
    own = {name: mutations[name] for name in mutations.keys() & OF_APPLICATION}
    mutated = replace(saying(**particulars), **own)  # type: ignore[arg-type]  # any field

    assert {one.split(":")[0] for one in codes(mutated)} == mutations.keys()


def test_every_code_of_a_rule_has_a_test_that_breaks_it() -> None:
    here = {one.split(": ")[1] for one in BROKEN}
    elsewhere = {"PROPOSAL_NEEDED", "WAITING", "OCCLUDED"}
    of_lists = {
        code.name for code in list(ReasonCode)[list(ReasonCode).index(ReasonCode.OCCLUDED) :]
    }

    assert here | elsewhere == of_lists
