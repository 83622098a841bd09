"""What the server counts, and what it never tells."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.request import urlopen

import pytest

from cordon_server.domain import ConfigInvalid, FaceCounts, StorageDamaged
from cordon_server.matches.drift import Measure
from cordon_server.operations.metrics import DRIFT_MEASURES, FACE_FATES, STATES, Metrics, listening
from cordon_server.recognition.line import FrameFate
from tests.helpers.scrape import numbers, scraped
from tests.helpers.site import free_port

ROOT = Path(__file__).resolve().parents[3]
DEPLOYING = (ROOT / "deploy" / "README.md").read_text()


def test_every_frame_is_counted_by_its_outcome_and_every_face_by_its() -> None:
    metrics = Metrics()

    metrics.frame_answered(FrameFate.PROCESSED, FaceCounts(2, 3, 4, 5, 1), 1)
    metrics.frame_answered(FrameFate.PROCESSED, FaceCounts(searched=1), 0)
    metrics.frame_answered(FrameFate.EXPIRED, None, 0)
    found = numbers(metrics.registry)

    assert found['cordon_frames_total{outcome="processed"}'] == 2
    assert found['cordon_frames_total{outcome="expired"}'] == 1
    faces = [found[f'cordon_faces_total{{outcome="{fate}"}}'] for fate in FACE_FATES]
    assert faces == [3, 3, 4, 5, 1]
    assert found["cordon_matches_total"] == 1


def test_the_faces_of_all_fates_are_all_that_were_detected() -> None:
    counts = FaceCounts(2, 3, 4, 5, 1)

    assert sum(getattr(counts, fate) for fate in FACE_FATES) == counts.detected


@pytest.mark.serves("R28")
def test_drift_alarms_are_counted_by_measure() -> None:
    metrics = Metrics()
    for measure in Measure:
        metrics.drift_raised(measure)
    metrics.drift_raised(Measure.SCORE)

    found = numbers(metrics.registry)

    assert tuple(Measure) == DRIFT_MEASURES
    assert [found[f'cordon_drift_alarms_total{{measure="{each}"}}'] for each in Measure] == [
        1,
        2,
        1,
    ]


def test_calls_are_counted_by_method_and_status() -> None:
    metrics = Metrics()

    for code in ("OK", "OK", "UNAUTHENTICATED"):
        metrics.call_answered("/cordon.v1.MatchService/GetMatch", code)
    found = numbers(metrics.registry)

    of = 'cordon_calls_total{code="%s",method="/cordon.v1.MatchService/GetMatch"}'
    assert (found[of % "OK"], found[of % "UNAUTHENTICATED"]) == (2, 1)


def test_a_state_is_read_afresh_each_time_and_left_out_where_it_cannot_be() -> None:
    def broken() -> float:
        raise StorageDamaged("closed")

    metrics, age = Metrics(), [1.5]
    metrics.watch("cordon_queue_age_seconds", lambda: age[0])
    metrics.watch("cordon_database_use_ratio", lambda: 0.25, database="registry")
    metrics.watch("cordon_database_use_ratio", broken, database="deployments")

    assert numbers(metrics.registry)["cordon_queue_age_seconds"] == 1.5
    age[0] = 0.0
    found = numbers(metrics.registry)
    assert found["cordon_queue_age_seconds"] == 0.0
    assert [name for name in found if name.startswith("cordon_database")] == [
        'cordon_database_use_ratio{database="registry"}'
    ]


def test_the_listener_answers_on_this_machine_alone_while_it_is_wanted() -> None:
    port = free_port()
    with listening(Metrics(), port):
        assert scraped(port)["cordon_matches_total"] == 0
        with socket.socket() as other:
            # Every address of this machine but that one is still free.
            other.bind(("127.0.0.2", port))

    with pytest.raises(OSError, match="refused"), urlopen(f"http://127.0.0.1:{port}/metrics"):
        pass


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(ConfigInvalid, match=r"metrics\.port"),
            listening(Metrics(), taken.getsockname()[1]),
        ):
            pass


def test_without_a_port_nothing_listens() -> None:
    with listening(Metrics(), 0):
        pass


def test_the_guide_to_deploying_names_every_metric() -> None:
    metrics = Metrics()
    metrics.call_answered("/cordon.v1.MatchService/GetMatch", "OK")
    metrics.frame_answered(FrameFate.PROCESSED, FaceCounts(), 0)
    for name in STATES:
        metrics.watch(name, lambda: 0.0)

    named = {name.partition("{")[0] for name in numbers(metrics.registry)}
    ours = {name for name in named if name.startswith("cordon_") and not name.endswith("_created")}

    assert ours >= set(STATES)
    assert [name for name in sorted(ours) if f"| `{name}" not in DEPLOYING] == []
