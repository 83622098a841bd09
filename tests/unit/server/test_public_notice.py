"""What the public is told comes from the authority, and from nowhere else (R19)."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from cordon_server.authority.notice import Publisher, public_notice
from cordon_server.authority.policy import load_policy
from cordon_server.authority.records import DeploymentRecord
from cordon_server.domain import NotReady
from tests.unit.server.live_rooms import LiveSite

POLICY = load_policy("demo")
CATEGORY, PURPOSE = sorted(POLICY.categories)[0], sorted(POLICY.purposes)[0]
PUBLISHER = Publisher(
    responsible="Example Constabulary",
    lawful_basis="Common law",
    complaints="any officer here",
    record_url="https://example.org/record",
)


@pytest.mark.serves("R19")
async def test_a_notice_says_what_was_authorised(live_site: LiveSite) -> None:
    record = await _authorised(live_site)

    told = public_notice(record, POLICY, [CATEGORY], PUBLISHER)

    assert record.authority is not None
    assert told.authority_digest == record.authority.digest
    assert (told.place, told.start_time) == (record.location, record.start_time)
    assert told.end_time == record.until
    assert told.purpose == POLICY.purposes[PURPOSE]
    assert told.categories == (POLICY.categories[CATEGORY].title,)
    assert told.publisher == PUBLISHER


@pytest.mark.serves("R19")
async def test_nothing_is_announced_that_was_not_authorised(live_site: LiveSite) -> None:
    await live_site.draft("market", "north")
    record = await live_site.deployments.get("market")

    with pytest.raises(NotReady) as refused:
        public_notice(record, POLICY, [CATEGORY], PUBLISHER)
    assert refused.value.reason == "NOT_AUTHORISED"


@pytest.mark.serves("R19")
@pytest.mark.parametrize("left_out", ["responsible", "lawful_basis", "record_url"])
async def test_a_notice_that_would_leave_something_out_is_none(
    live_site: LiveSite, left_out: str
) -> None:
    record = await _authorised(live_site)

    with pytest.raises(NotReady) as refused:
        public_notice(record, POLICY, [CATEGORY], replace(PUBLISHER, **{left_out: ""}))
    assert refused.value.reason == "NOTICE_INCOMPLETE"
    assert f"authority.{left_out}" in refused.value.message


async def _authorised(site: LiveSite) -> DeploymentRecord:
    await site.draft("market", "north")
    await site.authorise("market")
    record = await site.deployments.get("market")
    return msgspec.structs.replace(record, purpose=PURPOSE)
