"""What it costs to ask who calls: frames a second with every check over without, from one server.

The server that asks nobody is the bench's own; the product cannot be told to.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil

from cordon.v1 import deployment_pb2
from cordon.v1.deployment_pb2_grpc import DeploymentServiceStub
from tests.bench.cameras import CameraPlan, Plan, run_plan
from tests.bench.harness import Bench, Row
from tests.bench.measured import MeasuredServer, measured_server
from tests.bench.rounds import middle, others_row, undisturbed
from tests.bench.street import write_frames
from tests.helpers.people import bearer, channel_at

GOAL = 0.98
_SECONDS = 5.0
_CALLS = 300


@dataclass(frozen=True, slots=True)
class Rates:
    """One way of letting calls in."""

    frames_per_s: float
    frame_ms: float
    """Processor time of the server for a frame: what others take of the machine is not in it."""
    call_ms: float
    """A unary call by a person, alone."""


@dataclass(frozen=True, slots=True)
class AskedAndNot:
    """One round."""

    asked: Rates
    trusted: Rates


def measure(bench: Bench) -> list[Row]:
    """The ratio and both rates, and what a call by a person takes each way."""
    frames = bench.folder / "frames"
    write_frames(frames)
    with measured_server(bench, trust=True) as server:
        plan = Plan(str(frames), (CameraPlan(str(server.cameras[0]), stills=True),), _SECONDS)

        def rates(is_trusting: bool) -> Rates:
            server.trust(is_trusting)
            count, cpu_s = len(server.stages().stage_s), _cpu_s(server)
            frames_per_s = run_plan(plan).frames_per_s
            frame_s = (_cpu_s(server) - cpu_s) / (len(server.stages().stage_s) - count)
            return Rates(frames_per_s, frame_s * 1000, _call_ms(server))

        rounds = undisturbed(bench, server.pid, lambda: AskedAndNot(rates(False), rates(True)))
        server.trust(False)
    return [
        Row(
            "identity",
            "Identity: frames/s, callers checked over not",
            middle(rounds, lambda r: r.asked.frames_per_s / r.trusted.frames_per_s),
            goal=GOAL,
        ),
        Row(
            "identity_frames_per_s",
            "  frames/s with every check",
            middle(rounds, lambda r: r.asked.frames_per_s),
        ),
        Row(
            "identity_trusted_frames_per_s",
            "  frames/s without",
            middle(rounds, lambda r: r.trusted.frames_per_s),
        ),
        Row(
            "identity_cpu",
            "  the same of frames a second of processor",
            middle(rounds, lambda r: r.trusted.frame_ms / r.asked.frame_ms),
            goal=GOAL,
        ),
        Row(
            "identity_call_ms",
            "  a unary call by a person, checked",
            middle(rounds, lambda r: r.asked.call_ms),
            "ms",
        ),
        Row(
            "identity_trusted_call_ms",
            "  the same unchecked",
            middle(rounds, lambda r: r.trusted.call_ms),
            "ms",
        ),
        others_row("identity", rounds),
    ]


def _cpu_s(server: MeasuredServer) -> float:
    times = psutil.Process(server.pid).cpu_times()
    return float(times.user + times.system)


def _call_ms(server: MeasuredServer) -> float:
    desk = server.site.officer
    request = deployment_pb2.GetDeploymentRequest(name=f"deployments/{server.deployment}")
    with channel_at(desk) as channel:
        stub, metadata = DeploymentServiceStub(channel), bearer(desk)
        stub.GetDeployment(request, metadata=metadata)
        began_s = time.perf_counter()
        for _ in range(_CALLS):
            stub.GetDeployment(request, metadata=metadata)
        return (time.perf_counter() - began_s) / _CALLS * 1000
