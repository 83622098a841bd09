"""The GPU's code path with the real networks, as far as a CPU can run it (R16)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import structlog.testing

from cordon_server.domain import DeviceLost, ProviderUnavailable
from cordon_server.recognition.analyse import Analyser
from cordon_server.recognition.models.buckets import DeviceFull, Kind
from cordon_server.recognition.models.cuda import SessionDevice, cuda_options, is_out_of_memory
from cordon_server.recognition.models.on_device import EMBEDDER, OnDevice
from cordon_server.recognition.models.prepare import PreparedPack
from cordon_server.recognition.models.sessions import Models
from tests.helpers.devices import ScriptedDevice, host_device

FACES = Kind(EMBEDDER, (3, 112, 112))
SMALL = (96, 160)


@pytest.fixture(scope="module")
def float_pack(prepared: PreparedPack) -> PreparedPack:
    return prepared.for_provider("cuda")


@pytest.fixture(scope="module")
def on_device(float_pack: PreparedPack) -> Iterator[Models]:
    networks = OnDevice(host_device(float_pack))
    networks.limit_batch(4)
    yield Models(float_pack.pack, "cuda", networks)
    networks.close()


def crops(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    chance = np.random.default_rng(4)
    return chance.uniform(0, 255, (count, 3, 112, 112)).astype(np.float32)


def test_padded_batches_of_many_threads_give_what_each_would_get_alone(
    on_device: Models, float_models: Models
) -> None:
    faces = crops(9)
    pieces = [faces[:1], faces[1:3], faces[3:4], faces[4:9]]
    expected = [float_models.embed(piece) for piece in pieces]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(on_device.embed, pieces * 4))

    for each, wanted in zip(found, expected * 4, strict=True):
        np.testing.assert_allclose(each, wanted, rtol=1e-4, atol=1e-4)


def test_frames_of_two_shapes_are_detected_as_on_the_cpu(
    on_device: Models, float_models: Models
) -> None:
    chance = np.random.default_rng(4)
    frames = [
        chance.uniform(0, 255, (1, 3, *shape)).astype(np.float32)
        for shape in (SMALL, SMALL[::-1], SMALL)
    ]

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(on_device.detect, frames))

    for frame, outputs in zip(frames, found, strict=True):
        expected = float_models.detect(frame)
        assert outputs.keys() == expected.keys()
        for name, values in outputs.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-4)


def test_a_picture_goes_through_the_analyser_as_on_the_cpu(
    on_device: Models, float_models: Models, portrait: Path
) -> None:
    jpeg = portrait.read_bytes()

    (found,), (expected,) = (Analyser(models).probes(jpeg) for models in (on_device, float_models))

    assert float(found.vector @ expected.vector) > 0.9999


def test_a_warm_up_makes_every_shape_ready_on_one_thread_and_says_so() -> None:
    device = ScriptedDevice()
    networks = OnDevice(device)
    networks.limit_batch(8)

    with structlog.testing.capture_logs() as logs:
        networks.warm_up((SMALL, SMALL[::-1], (160, 160)))

    ready = [(each["network"], each["batches"][-1]) for each in logs]
    assert ready == [("detector", 32), ("detector", 32), ("detector", 4), ("embedder", 8)]
    assert networks.batches == tuple(range(1, 9))
    networks.embed(crops(3))
    assert device.runs == [("embedder", 4)]
    assert len(device.threads) == 1
    assert threading.get_ident() not in device.threads
    networks.close()


def test_a_device_that_fails_at_the_warm_up_is_not_there() -> None:
    device = ScriptedDevice()
    networks = OnDevice(device)
    device.lost = True

    with pytest.raises(ProviderUnavailable, match="off the bus"):
        networks.warm_up((SMALL,))

    networks.close()


def test_a_device_that_is_lost_in_service_is_told_once_and_every_call_raises() -> None:
    device = ScriptedDevice()
    networks = OnDevice(device)
    told: list[DeviceLost] = []
    networks.watch(told.append)
    networks.embed(crops(1))

    device.lost = True
    for _ in range(3):
        with pytest.raises(DeviceLost, match="off the bus"):
            networks.embed(crops(1))

    networks.close()
    assert [each.reason for each in told] == ["DEVICE_LOST"]


def test_a_device_that_cannot_be_opened_raises_what_it_says() -> None:
    class Absent(ScriptedDevice):
        def open(self) -> None:
            raise ProviderUnavailable("no device")

    with pytest.raises(ProviderUnavailable, match="no device"):
        OnDevice(Absent())


def test_networks_that_cannot_be_captured_run_without_graphs(
    float_pack: PreparedPack,
) -> None:
    opened: list[bool] = []
    device = host_device(float_pack, opened)
    open_sessions = device._open_sessions

    def refuse(graphs: bool) -> Any:
        if graphs:
            raise RuntimeError("not all nodes are on the device")
        return open_sessions(graphs)

    device._open_sessions = refuse
    with structlog.testing.capture_logs() as logs:
        device.open()

    device.load(FACES, 2)
    assert opened == [False]
    assert device.graphs(FACES) == []
    assert [each["event"] for each in logs] == ["device.no_graphs"]


class Session:
    """A session whose runs with a graph are as the test wants them."""

    def __init__(self, session: ort.InferenceSession, on_graph: Any) -> None:
        self._session, self._on_graph = session, on_graph

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
        self._session.run_with_iobinding(binding, options)
        if int(options.get_run_config_entry("gpu_graph_id")) > 0:
            self._on_graph(binding)


def captured(
    float_pack: PreparedPack, on_graph: Any, opened: list[bool] | None = None
) -> SessionDevice:
    device = host_device(float_pack, opened)
    open_sessions = device._open_sessions
    device._open_sessions = lambda graphs: {
        name: Session(session, on_graph) for name, session in open_sessions(graphs).items()
    }
    device.open()
    return device


def test_a_capture_that_breaks_off_opens_everything_anew_without_graphs(
    float_pack: PreparedPack, float_models: Models
) -> None:
    def fail(binding: ort.IOBinding) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    opened: list[bool] = []
    device = captured(float_pack, fail, opened)

    device.load(FACES, 2)

    assert opened == [True, False]
    device.stage(FACES, 2)[:] = crops(2)
    (features,) = device.run(FACES, 2)
    np.testing.assert_allclose(features, float_models.embed(crops(2)), rtol=1e-4, atol=1e-4)


def test_a_graph_that_computes_something_else_is_not_used(float_pack: PreparedPack) -> None:
    def spoil(binding: ort.IOBinding) -> None:
        value = binding.get_outputs()[0]
        value.update_inplace(value.numpy() + 1)

    opened: list[bool] = []
    device = captured(float_pack, spoil, opened)

    device.load(FACES, 1)

    assert opened == [True, False]
    assert device.graphs(FACES) == []


def test_a_graph_that_replays_nothing_is_found_out(float_pack: PreparedPack) -> None:
    device = host_device(float_pack)
    open_sessions = device._open_sessions
    seen: set[str] = set()

    class Idle(Session):
        """Runs once for each graph, and never again."""

        def run_with_iobinding(self, binding: ort.IOBinding, options: ort.RunOptions) -> None:
            graph = options.get_run_config_entry("gpu_graph_id")
            if graph == "-1" or graph not in seen:
                self._session.run_with_iobinding(binding, options)
            seen.add(graph)

    device._open_sessions = lambda graphs: {
        name: Idle(session, None) for name, session in open_sessions(graphs).items()
    }
    device.open()

    device.load(FACES, 1)

    assert device.graphs(FACES) == []


def test_a_graph_is_kept_where_it_is_faster_and_only_there(
    float_pack: PreparedPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = captured(float_pack, lambda binding: None)
    taken_s = iter([0.003, 0.001, 0.003, 0.0029])  # launched, replayed; launched, replayed
    monkeypatch.setattr(device, "_timed", lambda kind, ready: next(taken_s))

    assert device.load(FACES, 1) == 0.001
    assert device.load(FACES, 2) == 0.003

    assert device.graphs(FACES) == [1]
    device.release(FACES, 1)
    assert device.graphs(FACES) == []


def test_a_capture_without_memory_is_a_batch_too_large(float_pack: PreparedPack) -> None:
    def fail(binding: ort.IOBinding) -> None:
        raise RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 1")

    opened: list[bool] = []
    device = captured(float_pack, fail, opened)

    with pytest.raises(DeviceFull):
        device.load(FACES, 1)

    assert opened == [True, False]  # what had begun to be captured is gone


def test_what_a_session_raises_is_a_lost_device(float_pack: PreparedPack) -> None:
    device = host_device(float_pack)
    device.open()

    with pytest.raises(DeviceLost, match="The GPU failed"):
        device.load(Kind(EMBEDDER, (3, 8, 8)), 1)


@pytest.mark.parametrize(
    ("words", "is_full"),
    [
        ("bfc_arena.cc:376 Failed to allocate memory for requested buffer of size 8388608", True),
        ("CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);", True),
        ("Available memory of 1024 is smaller than requested bytes of 4096", True),
        ("CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED", True),
        ("CUDNN failure: CUDNN_STATUS_ALLOC_FAILED", True),
        ("CUDA Runtime failure: '#2' at device_buffer.h:80", True),
        ("CUDA Runtime failure: '#35' at device_utils.h:32", False),
        ("CUDA failure 700: an illegal memory access was encountered", False),
        ("CUDA failure 719: unspecified launch failure", False),
    ],
)
def test_memory_is_told_from_other_failures(words: str, is_full: bool) -> None:
    assert is_out_of_memory(RuntimeError(words)) is is_full


def test_precision_and_algorithms_are_fixed_whatever_the_device() -> None:
    for graphs in (False, True):
        options = cuda_options(graphs=graphs)

        assert options["use_tf32"] == "0"
        assert options["cudnn_conv_algo_search"] == "HEURISTIC"
        assert options["enable_cuda_graph"] == str(int(graphs))


def test_an_int8_embedder_is_the_cpus_alone(prepared: PreparedPack) -> None:
    given = replace(prepared, embedder_int8=prepared.embedder)

    assert given.for_provider("cuda").embedder_int8 is None
