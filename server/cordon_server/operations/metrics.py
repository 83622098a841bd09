"""What the server counts for whoever watches it, in Prometheus' text form on this machine alone.

Numbers and nothing else: no person, camera or deployment is named, and each label has a closed set
of values. It knows no other room: work is told to it, states are asked of what `watch` was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cordon_server.domain import ConfigInvalid, CordonError, FaceCounts

HOST = "127.0.0.1"
"""Not to be set: what listens unencrypted and asks nobody who he is stays on this machine."""
FACE_FATES = ("searched", "too_small", "too_poor", "shed", "outside_zone")
"""Every face that is detected meets one of these."""
DRIFT_MEASURES = ("quality", "score", "alerts")
"""What is watched of every camera."""
STATES = {
    "cordon_certificate_reload_failures_total": (
        "Times that changed certificate files could not be used; the old ones stay."
    ),
    "cordon_calls_running": "Calls under way.",
    "cordon_queue_age_seconds": "How long the oldest waiting frame has waited.",
    "cordon_audit_leaves_total": "Acts on record.",
    "cordon_database_use_ratio": "The share of its largest size that a database has taken.",
}
"""What is asked of the server rather than told by it: a count where the name ends in `_total`."""

Read = Callable[[], float]


class Metrics:
    """The numbers of one server. Work is told from the event loop, everything is read from any
    thread."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._states = _States()
        self.registry.register(self._states)
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "cordon_calls",
            "Calls that were answered.",
            ("method", "code"),
            registry=self.registry,
        )
        self._frames = Counter(
            "cordon_frames", "Frames that were answered.", ("outcome",), registry=self.registry
        )
        self._faces = Counter(
            "cordon_faces", "Faces in processed frames.", ("outcome",), registry=self.registry
        )
        self._matches = Counter("cordon_matches", "Matches raised.", registry=self.registry)
        self._drift = Counter(
            "cordon_drift_alarms",
            "Alarms that a camera sees people otherwise than at first.",
            ("measure",),
            registry=self.registry,
        )
        for fate in FACE_FATES:
            self._faces.labels(fate)
        for measure in DRIFT_MEASURES:
            self._drift.labels(measure)

    def call_answered(self, method: str, code: str) -> None:
        """One call of a method that is served; `code` as gRPC names it."""
        self._calls.labels(method, code).inc()

    def frame_answered(self, outcome: str, faces: FaceCounts | None, matches: int) -> None:
        """One frame; faces and new matches of one that was processed."""
        self._frames.labels(outcome).inc()
        if faces is not None:
            for fate in FACE_FATES:
                self._faces.labels(fate).inc(getattr(faces, fate))
        self._matches.inc(matches)

    def drift_raised(self, measure: str) -> None:
        """One alarm about one of `DRIFT_MEASURES`."""
        self._drift.labels(measure).inc()

    def watch(self, name: str, read: Read, **labels: str) -> None:
        """Shows one of `STATES` as `read` has it whenever it is asked for. Where that raises
        `CordonError` there is no such number just now."""
        self._states.add(name, read, labels)


@dataclass(frozen=True, slots=True)
class _State:
    labels: Mapping[str, str]
    read: Read


class _States(Collector):
    """Asks for every number afresh."""

    def __init__(self) -> None:
        self._states: dict[str, list[_State]] = {}

    def add(self, name: str, read: Read, labels: Mapping[str, str]) -> None:
        self._states.setdefault(name, []).append(_State(labels, read))

    def collect(self) -> Iterator[Metric]:
        for name, states in self._states.items():
            family = _family(name, tuple(states[0].labels))
            for state in states:
                try:
                    family.add_metric(tuple(state.labels.values()), state.read())
                except CordonError:
                    continue
            yield family


def _family(name: str, labels: tuple[str, ...]) -> CounterMetricFamily | GaugeMetricFamily:
    kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
    return kind(name, STATES[name], labels=labels)


@contextmanager
def listening(metrics: Metrics, port: int) -> Iterator[None]:
    """Answers GET on a port of this machine for the block; with port 0 nothing listens.

    Raises `ConfigInvalid` when the port is taken.
    """
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, HOST, metrics.registry)
    except OSError as error:
        raise ConfigInvalid(
            f"{HOST}:{port} cannot be bound: another program uses the port; look with: "
            f"ss -ltnp 'sport = :{port}', or set metrics.port"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
