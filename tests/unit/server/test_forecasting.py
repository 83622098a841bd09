"""What is forecast goes into what is signed; below the floor one signs knowingly or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from typing import Any

import jsonschema
import numpy as np
import pytest

from cordon_server.authority.forecast import Comparisons, Tail, is_below_floor
from cordon_server.authority.records import State
from cordon_server.domain import NotReady
from cordon_server.recognition.models.pack import load_pack
from cordon_server.sessions.forecasting import Forecasting, comparisons
from cordon_server.sessions.moves import Authorisation
from tests.unit.server.authority_rooms import APPROVER, sign
from tests.unit.server.live_rooms import LiveSite
from tests.unit.server.rooms import DIMENSION, OFFICER

MODEL = Comparisons(
    expected=Tail(start=0.3, share=0.01, scale=0.05, shape=0.0),
    low=Tail(start=0.3, share=0.01, scale=0.04, shape=0.0),
    high=Tail(start=0.3, share=0.01, scale=0.06, shape=0.0),
)
STRICT, LENIENT = 1e-5, 0.01


@pytest.mark.serves("R17")
async def test_a_forecast_is_of_the_list_as_it_is_and_changes_nothing(live_site: LiveSite) -> None:
    opened = await live_site.draft("market", "north")
    short = await _forecast(live_site, STRICT)
    await live_site.enrol(opened, "s-2", 50)

    long = await _forecast(live_site, STRICT)

    assert (short["subjects"], long["subjects"]) == (1, 2)
    assert long["fpir"] == pytest.approx(2 * short["fpir"], rel=0.01)
    assert long["hours"] == 24
    assert opened.record.state is State.DRAFT
    schema = json.loads(
        resources.files("cordon_admin").joinpath("templates", "report.schema.json").read_text()
    )
    jsonschema.validate(long, schema["properties"]["forecast"])


@pytest.mark.serves("R17")
async def test_the_sites_cohort_makes_a_short_list_measurable(
    live_site: LiveSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = np.random.default_rng(17).standard_normal((200, DIMENSION)).astype(np.float32)
    strangers /= np.linalg.norm(strangers, axis=1, keepdims=True)
    monkeypatch.setattr(live_site.live, "_opener", replace(live_site.opener, cohort=strangers))
    await live_site.draft("market", "north")

    told = await _forecast(live_site, LENIENT)

    assert (told["basis"], told["probes"]) == ("list and cohort", 200)


@pytest.mark.serves("R17")
async def test_without_any_measure_of_strangers_nothing_is_forecast(live_site: LiveSite) -> None:
    await live_site.draft("market", "north")

    with pytest.raises(NotReady) as refused:
        await Forecasting(live_site.live, None, 0.04, STRICT).forecast(
            "market", faces_per_hour=600, operators=1
        )
    assert refused.value.reason == "FORECAST_IMPOSSIBLE"


@pytest.mark.serves("R15", "R17")
async def test_what_is_forecast_is_signed_and_on_record(live_site: LiveSite) -> None:
    await live_site.draft("market", "north")
    text = json.dumps(await _forecast(live_site, LENIENT))
    assert not is_below_floor(text)

    record = await live_site.moves.submit("market", OFFICER, text, dry_run=False)
    await _authorise(live_site, below_floor=False)

    assert record.submission is not None
    assert record.submission.forecast == text
    assert live_site.acts.acts[-1].facts["forecast"] == text


@pytest.mark.serves("R15")
async def test_a_threshold_below_the_floor_needs_the_officers_own_word(
    live_site: LiveSite,
) -> None:
    await live_site.draft("market", "north")
    text = json.dumps(await _forecast(live_site, STRICT))
    assert is_below_floor(text)
    await live_site.moves.submit("market", OFFICER, text, dry_run=False)

    with pytest.raises(NotReady) as refused:
        await _authorise(live_site, below_floor=False)
    assert refused.value.reason == "THRESHOLD_BELOW_FLOOR"

    await _authorise(live_site, below_floor=True)
    assert (await live_site.deployments.get("market")).state is State.AUTHORISED


@pytest.mark.serves("R17")
def test_the_built_in_models_say_how_alike_strangers_are() -> None:
    model = comparisons(load_pack().impostors)

    assert model is not None
    rates = [tail.fpir(0.465) for tail in (model.low, model.expected, model.high)]
    assert rates == sorted(rates)
    assert 1e-6 < rates[0] < rates[2] < 0.01
    assert comparisons(None) is None


async def _forecast(site: LiveSite, fpir_max: float) -> dict[str, Any]:
    forecasting = Forecasting(site.live, MODEL, 0.04, fpir_max)
    found = await forecasting.forecast("market", faces_per_hour=600, operators=2)
    told: dict[str, Any] = json.loads(found.text)
    return told


async def _authorise(site: LiveSite, *, below_floor: bool) -> None:
    word = Authorisation(*sign(await site.deployments.get("market")), below_floor)
    await site.moves.authorise("market", APPROVER, word, dry_run=False)
