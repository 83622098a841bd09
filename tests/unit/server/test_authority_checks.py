"""Each rule of an authority, broken by itself, is refused with its own coded reason."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cordon_server.authority import content, steps
from cordon_server.authority.cameras import Cameras
from cordon_server.authority.checks import (
    PREFLIGHT_PICTURES_MIN,
    Recognised,
    check_floor,
    check_four_eyes,
    check_window_open,
)
from cordon_server.authority.policy import Category
from cordon_server.authority.records import DEPLOYMENTS, Actor, DeploymentRecord, State
from cordon_server.authority.steps import Officer
from cordon_server.authority.terms import ImpactAssessment, Zone
from cordon_server.domain import VOLUNTEER, CordonError, NotPermitted, NotReady
from cordon_server.store.environment import Environment
from tests.unit.server.authority_rooms import (
    APPROVER,
    KEY,
    LIST,
    PUBLIC_KEY,
    SIGNER,
    Chain,
    a_chain,
    a_policy,
)
from tests.unit.server.rooms import NOON, OFFICER, Clock

HOUR = timedelta(hours=1)
AT_FLOOR = json.dumps({"threshold": 0.5, "threshold_floor": 0.5})
BELOW_FLOOR = json.dumps({"threshold": 0.5, "threshold_floor": 0.51})
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


async def a_chain_by(registry: Environment, clock: Clock, **policy: Any) -> Chain:
    cameras = Cameras(registry, count_max=10, clock=clock)
    for name in ("north", "south"):
        await cameras.create(name, "", dry_run=False)
    return a_chain(registry, clock, a_policy(**policy))


@pytest.fixture
async def chain(registry: Environment, clock: Clock) -> Chain:
    return await a_chain_by(registry, clock)


async def reason_of(asking: Any) -> str:
    with pytest.raises(CordonError) as refused:
        await asking
    assert "; " in refused.value.message, "says what to do next"
    return refused.value.reason


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        pytest.param({"cameras": ()}, "NO_CAMERA", marks=pytest.mark.serves("R7")),
        pytest.param({"location": ""}, "NO_LOCATION", marks=pytest.mark.serves("R7")),
        pytest.param({"purpose": ""}, "PURPOSE_UNKNOWN", marks=pytest.mark.serves("R7", "R32")),
        pytest.param({"purpose": "fun"}, "PURPOSE_UNKNOWN", marks=pytest.mark.serves("R32")),
        pytest.param({"justification": ""}, "NO_JUSTIFICATION", marks=pytest.mark.serves("R7")),
        pytest.param(
            {"accountable_person": ""}, "NO_ACCOUNTABLE_PERSON", marks=pytest.mark.serves("R30")
        ),
        pytest.param(
            {"impact_assessment": ImpactAssessment(b"i" * 32, "dpo", NOON)},
            "IMPACT_ASSESSMENT_EXPIRED",
            marks=pytest.mark.serves("R24"),
        ),
    ],
)
async def test_terms_that_lack_something_are_not_submitted(
    chain: Chain, terms: dict[str, Any], reason: str
) -> None:
    await chain.create(**terms)

    assert await reason_of(chain.submit()) == reason
    assert (await chain.deployments.get("market")).state is State.DRAFT


@pytest.mark.parametrize(
    ("policy", "terms", "reason"),
    [
        ({"authority": {"urgent_h_max": 0.0}}, {"is_urgent": True}, "URGENT_NOT_ALLOWED"),
        ({"notice": {"exemption": False}}, {"notice_exemption": "x"}, "EXEMPTION_NOT_ALLOWED"),
        ({"authority": {"impact_assessment": True}}, {}, "IMPACT_ASSESSMENT_MISSING"),
        ({"authority": {"forecast": True}}, {}, "FORECAST_MISSING"),
        ({"watchlist": {"entries_max": 1}}, {}, "LIST_TOO_LONG"),
    ],
)
@pytest.mark.serves("R9", "R17", "R19", "R24", "R25")
async def test_what_the_policy_forbids_or_wants_decides_over_the_same_terms(
    registry: Environment, clock: Clock, policy: Any, terms: Any, reason: str
) -> None:
    strict = await a_chain_by(registry, clock, **policy)
    strict.list = replace(LIST, entries=2, by_category={"wanted": 2})
    await strict.create(**terms)
    lax = a_chain(registry, clock)
    lax.list = strict.list

    assert await reason_of(strict.submit()) == reason
    assert (await lax.submit()).state is State.SUBMITTED


@pytest.mark.serves("R6", "R17")
@pytest.mark.parametrize(
    ("by_category", "reason"),
    [
        ({}, "LIST_EMPTY"),
        ({"wanted": 20_001}, "LIST_TOO_LONG"),
        ({"other": 1}, "CATEGORY_UNKNOWN"),
    ],
)
async def test_a_list_outside_the_policy_is_not_submitted(
    chain: Chain, by_category: dict[str, int], reason: str
) -> None:
    chain.list = replace(LIST, entries=sum(by_category.values()), by_category=by_category)
    await chain.create()

    assert await reason_of(chain.submit()) == reason


@pytest.mark.serves("R6", "R28")
async def test_a_list_as_long_as_the_policy_allows_is_submitted_volunteers_apart(
    registry: Environment, clock: Clock
) -> None:
    wanted = Category("Wanted", entries_max=3, minors=False)
    chain = await a_chain_by(registry, clock, watchlist={"entries_max": 5})
    chain.deployments.policy = msgspec.structs.replace(
        chain.deployments.policy, categories={"wanted": wanted}
    )
    await chain.create()

    for by_category, reason, allowed in (
        ({"wanted": 4}, "CATEGORY_TOO_LONG", 3),
        ({"other": 1}, "CATEGORY_UNKNOWN", 0),
        ({"wanted": 3, VOLUNTEER: 3}, "LIST_TOO_LONG", 5),
    ):
        chain.list = replace(LIST, entries=sum(by_category.values()), by_category=by_category)
        with pytest.raises(NotReady, match=f"allows {allowed}") as refused:
            await chain.submit()
        assert refused.value.reason == reason
    chain.list = replace(LIST, entries=5, by_category={"wanted": 3, VOLUNTEER: 2})
    assert (await chain.submit()).state is State.SUBMITTED


@pytest.mark.serves("R9", "R17", "R19", "R24")
async def test_what_the_policy_allows_or_wants_and_gets_is_submitted(
    registry: Environment, clock: Clock
) -> None:
    chain = await a_chain_by(
        registry,
        clock,
        authority={"urgent_h_max": 2.0, "impact_assessment": True, "forecast": True},
        notice={"exemption": True},
    )
    assessment = ImpactAssessment(b"i" * 32, "dpo", NOON + HOUR)
    await chain.create(is_urgent=True, notice_exemption="x", impact_assessment=assessment)

    assert (await chain.submit(forecast=AT_FLOOR)).state is State.SUBMITTED


@pytest.mark.serves("R9", "R19")
async def test_what_a_policy_forbids_is_forbidden_to_those_who_ask_for_it_alone(
    registry: Environment, clock: Clock
) -> None:
    chain = await a_chain_by(
        registry, clock, authority={"urgent_h_max": 0.0}, notice={"exemption": False}
    )
    await chain.create()

    assert (await chain.submit()).state is State.SUBMITTED


@pytest.mark.serves("R15")
async def test_below_the_floor_that_was_forecast_it_takes_the_officers_own_word(
    chain: Chain,
) -> None:
    record = await chain.create()

    check_floor(record, "", meant=False)
    check_floor(record, AT_FLOOR, meant=False)
    check_floor(record, BELOW_FLOOR, meant=True)
    with pytest.raises(NotReady) as refused:
        check_floor(record, BELOW_FLOOR, meant=False)
    assert refused.value.reason == "THRESHOLD_BELOW_FLOOR"


@pytest.mark.serves("R8")
async def test_who_submitted_what_another_made_does_not_authorise_it(chain: Chain) -> None:
    record = await chain.create()
    third = Actor("third", "spiffe://site.local/admin/third")
    submitted = steps.submitted(record, third, chain.present, "")

    for same in (third, Actor(third.user_id, "elsewhere"), Actor("other", third.machine)):
        with pytest.raises(NotPermitted) as refused:
            check_four_eyes(submitted, same)
        assert refused.value.reason == "FOUR_EYES"
    check_four_eyes(submitted, APPROVER)


@pytest.mark.serves("R7")
async def test_a_window_that_is_not_open_and_one_that_is_over_are_told_apart(
    chain: Chain, clock: Clock
) -> None:
    await chain.create(start_time=NOON + HOUR, end_time=NOON + 2 * HOUR)
    await chain.submit()
    await chain.authorise()
    moment = timedelta(microseconds=1)

    clock.now = NOON + HOUR - moment
    assert await reason_of(chain.arm(dry_run=True)) == "WINDOW_NOT_OPEN"
    clock.now = NOON + HOUR
    assert (await chain.arm(dry_run=True)).state is State.ARMED
    record = await chain.deployments.get("market")
    with pytest.raises(NotReady) as refused:
        check_window_open(record, NOON + 2 * HOUR)
    assert refused.value.reason == "WINDOW_OVER"
    check_window_open(record, NOON + 2 * HOUR - moment)


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    ("officer", "reason"),
    [
        (Officer(OFFICER, PUBLIC_KEY), "FOUR_EYES"),
        (Officer(Actor(OFFICER.user_id, APPROVER.machine), PUBLIC_KEY), "FOUR_EYES"),
        (Officer(Actor(APPROVER.user_id, OFFICER.machine), PUBLIC_KEY), "FOUR_EYES"),
        (Officer(APPROVER, None), "NO_SIGNING_KEY"),
        (Officer(APPROVER, OTHER_KEY.public_key().public_bytes_raw()), "SIGNATURE_WRONG"),
    ],
)
async def test_it_takes_another_person_at_another_machine_with_a_key_of_his_own_to_authorise(
    chain: Chain, officer: Officer, reason: str
) -> None:
    await chain.create()
    await chain.submit()

    assert await reason_of(chain.authorise(officer=officer)) == reason
    assert (await chain.deployments.get("market")).state is State.SUBMITTED


async def tampered(registry: Environment, **fields: Any) -> None:
    """Changes the record behind everyone's back."""

    def act(txn: Any) -> None:
        record = txn.get(DEPLOYMENTS, b"market")
        txn.put(DEPLOYMENTS, b"market", msgspec.structs.replace(record, **fields))

    await registry.write(act)


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    ("part", "field", "reason"),
    [
        ("authority", "digest", "AUTHORITY_VOID"),
        ("authority", "signature", "SIGNATURE_WRONG"),
        ("authority", "public_key", "SIGNING_KEY_GONE"),
        ("submission", "list_digest", "LIST_CHANGED"),
        ("submission", "policy_digest", "POLICY_CHANGED"),
    ],
)
async def test_one_byte_turned_of_what_was_signed_and_it_is_not_armed(
    chain: Chain, registry: Environment, part: str, field: str, reason: str
) -> None:
    record = await chain.authorised()
    value = getattr(record, part)
    turned = msgspec.structs.replace(value, **{field: flipped(getattr(value, field))})
    await tampered(registry, **{part: turned})

    assert await reason_of(chain.arm()) == reason
    await tampered(registry, **{part: value})
    assert (await chain.arm()).state is State.ARMED


@pytest.mark.serves("R8")
@pytest.mark.parametrize(
    "fields",
    [
        {"location": "Market Streer"},
        {"threshold": 0.5000001},
        {"cameras": ("south",)},
        {"end_time": NOON + 23 * HOUR},
        {"justification": "thefts on market dayz"},
    ],
)
async def test_terms_that_are_not_those_that_were_signed_are_not_armed(
    chain: Chain, registry: Environment, fields: dict[str, Any]
) -> None:
    await chain.authorised()
    await tampered(registry, **fields)

    assert await reason_of(chain.arm()) == "AUTHORITY_VOID"


@pytest.mark.serves("R8")
async def test_another_list_policy_model_or_key_voids_an_authority(
    chain: Chain, registry: Environment, clock: Clock
) -> None:
    record = await chain.authorised()
    present = chain.present
    others = {
        "LIST_CHANGED": replace(present, list=replace(LIST, digest=b"m" * 32)),
        "POLICY_CHANGED": replace(present, policy=a_policy(notice={"needed": True})),
        "MODEL_CHANGED": replace(present, model_id="another"),
    }

    for reason, other in others.items():
        arming = chain.deployments.arm("market", other, PUBLIC_KEY, dry_run=False)
        assert await reason_of(arming) == reason
    for key in (None, OTHER_KEY.public_key().public_bytes_raw()):
        assert await reason_of(chain.arm(key=key)) == "SIGNING_KEY_GONE"
    for lost in ("authority", "submission"):
        await tampered(registry, **{lost: None})
        assert await reason_of(chain.arm()) == "AUTHORITY_MISSING"
        await tampered(registry, **{lost: getattr(record, lost)})
    assert (await chain.arm()).state is State.ARMED


@pytest.mark.serves("R8")
async def test_what_is_signed_has_to_be_what_is_on_record(chain: Chain) -> None:
    await chain.create()
    await chain.submit()
    old = await chain.deployments.get("market")
    await chain.deployments.update("market", {"location": "elsewhere"}, dry_run=False)
    await chain.submit()
    new = await chain.deployments.get("market")

    assert old.submission is not None
    digest = content.digest(old, old.submission)
    signature = KEY.sign(content.SIGNED_PREFIX + digest)
    with pytest.raises(CordonError) as refused:
        steps.authorised(new, SIGNER, chain.present, digest, signature)
    assert refused.value.reason == "DIGEST_MISMATCH"


@pytest.mark.serves("R5")
async def test_a_list_is_armed_with_a_young_review_of_itself_alone(
    registry: Environment, clock: Clock
) -> None:
    chain = await a_chain_by(registry, clock, watchlist={"review_age_h_max": 6.0})
    await chain.authorised()

    assert await reason_of(chain.arm()) == "LIST_NOT_REVIEWED"
    chain.reviewed(NOON, b"another")
    assert await reason_of(chain.arm()) == "LIST_REVIEW_VOID"
    chain.reviewed(NOON - 6 * HOUR - timedelta(seconds=1))
    assert await reason_of(chain.arm()) == "LIST_REVIEW_TOO_OLD"
    chain.reviewed(NOON - 6 * HOUR)
    assert (await chain.arm()).state is State.ARMED


@pytest.mark.serves("R19")
@pytest.mark.parametrize("exempted", [False, True])
async def test_the_public_is_told_before_arming_or_the_authority_exempts_from_it(
    registry: Environment, clock: Clock, exempted: bool
) -> None:
    chain = await a_chain_by(registry, clock, notice={"needed": True})
    await chain.authorised(notice_exemption="a life is in danger" if exempted else "")

    if not exempted:
        assert await reason_of(chain.arm()) == "NOTICE_NOT_PUBLISHED"
        await publish(chain)
    assert (await chain.arm()).state is State.ARMED


@pytest.mark.serves("R28")
async def test_each_camera_recognises_known_people_before_arming_where_the_policy_wants_it(
    registry: Environment, clock: Clock
) -> None:
    chain = await a_chain_by(registry, clock, measurement={"preflight_tpir_min": 0.9})
    await chain.authorised(cameras=("north", "south"))
    good = Recognised(18, PREFLIGHT_PICTURES_MIN)

    for tested, reason in (
        ({}, "CAMERA_NOT_TESTED"),
        ({"north": good}, "CAMERA_NOT_TESTED"),
        ({"north": good, "south": Recognised(19, 19)}, "CAMERA_NOT_TESTED"),
        ({"north": good, "south": Recognised(17, PREFLIGHT_PICTURES_MIN)}, "CAMERA_BELOW_TPIR"),
    ):
        chain.tested = tested
        assert await reason_of(chain.arm()) == reason
    chain.tested = {"north": good, "south": good}

    assert (await chain.arm()).state is State.ARMED


async def publish(chain: Chain) -> DeploymentRecord:
    return await chain.deployments.take(
        "market",
        lambda record: steps.published(record, "https://north.example", chain.clock.now),
        dry_run=False,
    )


@pytest.mark.serves("R19")
async def test_a_notice_is_of_what_was_submitted(chain: Chain) -> None:
    await chain.create()

    with pytest.raises(CordonError) as refused:
        await publish(chain)

    assert refused.value.reason == "WRONG_STATE"
    await chain.submit()
    published = (await publish(chain)).publication
    assert published is not None
    assert (published.place, published.publish_time) == ("https://north.example", NOON)
    await chain.end()
    with pytest.raises(CordonError) as ended:
        await publish(chain)
    assert ended.value.reason == "WRONG_STATE"


@pytest.mark.serves("R24")
async def test_an_assessment_that_expires_before_arming_is_refused(
    chain: Chain, clock: Clock
) -> None:
    await chain.authorised(impact_assessment=ImpactAssessment(b"i" * 32, "dpo", NOON + HOUR))
    clock.advance(hours=1)

    assert await reason_of(chain.arm()) == "IMPACT_ASSESSMENT_EXPIRED"


@pytest.mark.serves("R9")
async def test_an_urgent_authority_ends_by_itself_before_its_window_does(
    registry: Environment, clock: Clock
) -> None:
    chain = await a_chain_by(registry, clock, authority={"urgent_h_max": 2.0})
    record = await chain.authorised(is_urgent=True)

    assert record.until == NOON + 2 * HOUR
    clock.advance(hours=2)
    assert await reason_of(chain.arm()) == "AUTHORITY_EXPIRED"
    assert [each.deployment_id for each in await chain.deployments.all_over()] == ["market"]


@pytest.mark.serves("R13")
async def test_only_the_officer_who_authorised_it_resumes_it(
    chain: Chain, registry: Environment
) -> None:
    record = await chain.armed()
    await chain.halt()
    await tampered(registry, authority=None)
    assert await reason_of(chain.resume()) == "NOT_THE_AUTHORISER"
    await tampered(registry, authority=record.authority)

    other = Officer(Actor("oscar", "spiffe://site.local/admin/third"), PUBLIC_KEY)
    assert await reason_of(chain.resume(officer=other)) == "NOT_THE_AUTHORISER"
    assert (await chain.resume()).state is State.ARMED


@pytest.mark.serves("R7")
async def test_a_camera_that_was_revoked_since_is_not_armed(
    chain: Chain, registry: Environment, clock: Clock
) -> None:
    await chain.authorised()
    await Cameras(registry, count_max=10, clock=clock).revoke("north", dry_run=False)

    with pytest.raises(CordonError) as refused:
        await chain.arm()
    assert refused.value.reason == "CAMERA_REVOKED"


@pytest.mark.serves("R7")
@pytest.mark.parametrize("cameras", [("south",), ("north", "north")])
async def test_a_zone_is_of_one_of_the_deployments_cameras(
    chain: Chain, cameras: tuple[str, ...]
) -> None:
    zones = tuple(Zone(camera, ((0.0, 0.0), (0.5, 0.5))) for camera in cameras)

    assert await reason_of(chain.create(zones=zones)) == "ZONE_CAMERA"
