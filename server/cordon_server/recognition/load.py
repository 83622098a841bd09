"""What the cameras ask of the workers, and what they are advised so that it fits; pure, stepped.

No threads, no clock: frames are noted as they are answered, `step` is called at a steady pace.

Rules, for whoever edits this:
1. Load is what is asked for, answered or not: frames a second times seconds a frame, over workers.
   A worker that drops a frame is as busy as before, so its utilisation says nothing of how much too
   much there is.
2. Between LOW and HIGH nothing is changed, and beyond them only after HOLD steps: a band, so that
   advice does not swing.
3. What is taken away is taken from whoever asks for more than a fair share by weight, at most half
   at a time and never below `fps_min`; what is given back is given in small steps, as far as the
   costs that were measured say that it fits.
4. A camera that does not obey is counted as if it did: the line keeps it to its turn.
5. Streams of stills take what is left and are held back by credit: they are counted at no more than
   their share, and are not advised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

HIGH = 1.2
"""Load above this for HOLD steps lowers the advice."""
TARGET = 1.0
"""What advice aims at: workers never idle, and hardly a frame sent in vain."""
LOW = 0.85
"""Load below this for HOLD steps raises the advice."""
HOLD = 2
STEP_S = 2.0
RAISE_FPS = 2.0
"""Given back a step, times the camera's weight."""
BINDING = 0.8
"""A limit of which a camera uses less than this share is none, and is lifted."""
FULL = 0.95
"""Share of the workers that cameras at `fps_min` may need together."""
SMOOTHING = 0.5
"""Weight of the newest step in what is remembered of a camera."""
DECODE_SHARE = 0.5
"""Where decoding is more than this of a frame's cost, smaller pictures come before fewer."""
SIZES = ((1.0, 0), (0.75, 10), (0.5, 15))
"""Longest side by factor and JPEG quality by difference, from the wanted ones down."""
SIDE_PX_MIN = 640
QUALITY_MIN = 60
OBEDIENCE = 1.1
"""A camera is counted at no more than this many times its limit."""
COST_S_MIN = 1e-4
WORTH_TELLING = 0.05
"""Changes of fps smaller than this share stay untold."""


@dataclass(frozen=True, slots=True)
class LoadRules:
    """What is wanted of cameras when there is room for it."""

    fps_min: float = 2.0
    """No camera is advised less, nor let in where it would have less."""
    fps_max: float = 0.0
    """0 leaves it to the camera."""
    side_px_max: int = 1920
    jpeg_quality: int = 85


@dataclass(frozen=True, slots=True)
class Advice:
    """How a camera is to send."""

    fps_max: float
    """0 leaves it to the camera."""
    side_px_max: int
    jpeg_quality: int


@dataclass(frozen=True, slots=True)
class Ask:
    """What one camera would have: frames a second, and what each costs a worker."""

    fps: float
    cost_s: float
    weight: float = 1.0
    fps_min: float = 0.0


@dataclass(slots=True)
class _Camera:
    weight: float
    is_stills: bool
    is_serial: bool
    cost_s: float
    """Of one frame, seconds of a worker."""
    decode_share: float = 0.0
    fps: float = 0.0
    limit: float | None = None
    level: int = 0
    told: Advice | None = None
    frames: int = 0
    worked: int = 0
    work_s: float = 0.0
    decode_s: float = 0.0
    is_known: bool = False
    """Whether its cost was measured."""

    @property
    def counted_fps(self) -> float:
        return self.fps if self.limit is None else min(self.fps, self.limit * OBEDIENCE)

    @property
    def is_bound(self) -> bool:
        return self.limit is not None and self.fps >= BINDING * self.limit

    def roll(self, elapsed_s: float) -> None:
        """Ends a step: what was noted becomes what is remembered."""
        fps = self.frames / elapsed_s
        self.fps += (SMOOTHING if self.fps else 1.0) * (fps - self.fps)
        if self.worked:
            smoothing = SMOOTHING if self.is_known else 1.0
            cost_s = max(COST_S_MIN, self.work_s / self.worked)
            self.cost_s += smoothing * (cost_s - self.cost_s)
            self.decode_share += smoothing * (self.decode_s / self.work_s - self.decode_share)
            self.is_known = True
        self.frames = self.worked = 0
        self.work_s = self.decode_s = 0.0

    def ask(self, fps: float, fps_min: float) -> Ask:
        if self.is_serial:  # one worker at a time can do no more
            fps = min(fps, 1 / self.cost_s)
        return Ask(fps, self.cost_s, self.weight, min(fps, fps_min))


@dataclass(slots=True)
class Load:
    """The load of all cameras and what they are advised. Used from one thread."""

    workers: int
    rules: LoadRules
    typical_s: float
    """What a frame costs before any was seen; follows what is seen."""
    _cameras: dict[str, _Camera] = field(default_factory=dict)
    _high_for: int = 0
    _low_for: int = 0

    def join(self, key: str, *, weight: float, stills: bool, serial: bool) -> Advice:
        """A camera begins, at no more than those that are limited already."""
        camera = _Camera(weight, stills, serial, self.typical_s)
        others = [each.limit / each.weight for each in self._cameras.values() if each.limit]
        if others and not stills:
            camera.limit = max(self.rules.fps_min, min(others) * weight)
        self._cameras[key] = camera
        camera.told = self._advice(camera)
        return camera.told

    def leave(self, key: str) -> None:
        """A camera has gone."""
        self._cameras.pop(key, None)

    def note(self, key: str, work_s: float = 0.0, decode_s: float = 0.0) -> None:
        """A frame was answered; `work_s` is 0 where no worker had it."""
        camera = self._cameras.get(key)
        if camera is None:
            return
        camera.frames += 1
        if work_s > 0:
            camera.worked += 1
            camera.work_s += work_s
            camera.decode_s += decode_s

    def has_room(self) -> bool:
        """Whether one more camera fits at `fps_min` beside the others at theirs; one does."""
        cost_s = sum(camera.cost_s for camera in self._cameras.values()) + self.typical_s
        return not self._cameras or self.rules.fps_min * cost_s <= FULL * self.workers

    @property
    def load(self) -> float:
        """What is asked of the workers; 1 is all that they can do."""
        weights = sum(camera.weight for camera in self._cameras.values())
        asked = 0.0
        for camera in self._cameras.values():
            need = camera.counted_fps * camera.cost_s
            if camera.is_stills:
                need = min(need, self.workers * camera.weight / weights)
            asked += need
        return asked / self.workers

    def step(self, elapsed_s: float) -> dict[str, Advice]:
        """Ends a step of that length; the cameras whose advice has changed."""
        for camera in self._cameras.values():
            camera.roll(elapsed_s)
        self._learn()
        load = self.load
        is_high = load > HIGH or any(map(self._asks_alone_too_much, self._video()))
        self._high_for = self._high_for + 1 if is_high else 0
        self._low_for = self._low_for + 1 if load < LOW and not is_high else 0
        if self._high_for >= HOLD:
            self._high_for = 0
            self._lower()
        elif self._low_for >= HOLD:
            self._raise(load)
        return self._news()

    def _video(self) -> list[_Camera]:
        return [camera for camera in self._cameras.values() if not camera.is_stills]

    def _asks_alone_too_much(self, camera: _Camera) -> bool:
        limit = camera.limit
        may_fall = limit is None or limit > self.rules.fps_min
        return camera.is_serial and may_fall and camera.counted_fps * camera.cost_s > HIGH

    def _learn(self) -> None:
        costs = [camera.cost_s for camera in self._cameras.values() if camera.is_known]
        if costs:
            self.typical_s += SMOOTHING * (sum(costs) / len(costs) - self.typical_s)

    def _budget_s(self) -> float:
        """Seconds of worker time a second that video may have."""
        weights = sum(camera.weight for camera in self._cameras.values())
        stills_s = sum(
            min(c.fps * c.cost_s, self.workers * c.weight / weights)
            for c in self._cameras.values()
            if c.is_stills
        )
        return TARGET * self.workers - stills_s

    def _lower(self) -> None:
        smaller = [camera for camera in self._video() if self._may_shrink(camera)]
        for camera in smaller:
            camera.level += 1
        if smaller:
            return
        video, fps_min = self._video(), self.rules.fps_min
        asks = [camera.ask(camera.counted_fps, fps_min) for camera in video]
        for camera, fair in zip(video, fair_rates(asks, self._budget_s()), strict=True):
            if fair < camera.counted_fps:
                limit = max(fps_min, fair, camera.counted_fps / 2)
                camera.limit = min(limit, camera.limit or limit)
                camera.fps = min(camera.fps, camera.limit)  # as it will be; see the next steps

    def _may_shrink(self, camera: _Camera) -> bool:
        is_worth_it = camera.decode_share > DECODE_SHARE and camera.fps > 0
        return is_worth_it and self._size(camera.level) != self._size(camera.level + 1)

    def _raise(self, load: float) -> None:
        video, fps_min = self._video(), self.rules.fps_min
        for camera in video:
            if camera.limit is not None and not camera.is_bound:
                camera.limit = None
        wishes = [c.fps if c.limit is None else c.limit + RAISE_FPS * c.weight for c in video]
        asks = [camera.ask(fps, fps_min) for camera, fps in zip(video, wishes, strict=True)]
        for camera, fair in zip(video, fair_rates(asks, self._budget_s()), strict=True):
            if camera.limit is not None:
                camera.limit = max(camera.limit, fair)
                if camera.limit >= self.rules.fps_max > 0:
                    camera.limit = None
        self._enlarge(load)

    def _enlarge(self, load: float) -> None:
        """Gives one camera without a limit its size back, where the larger pictures fit."""
        for camera in self._video():
            if not camera.level or camera.limit is not None:
                continue
            factor = (SIZES[camera.level - 1][0] / SIZES[camera.level][0]) ** 2
            more_s = camera.fps * camera.cost_s * camera.decode_share * (factor - 1)
            if load + more_s / self.workers < TARGET:
                camera.level -= 1
                self._low_for = 0
                return

    def _size(self, level: int) -> tuple[int, int]:
        side, quality = self.rules.side_px_max, self.rules.jpeg_quality
        factor, less = SIZES[min(level, len(SIZES) - 1)]
        return (
            min(side, max(SIDE_PX_MIN, int(side * factor))),
            min(quality, max(QUALITY_MIN, quality - less)),
        )

    def _advice(self, camera: _Camera) -> Advice:
        fps = self.rules.fps_max if camera.limit is None else round(camera.limit, 2)
        side_px, quality = self._size(camera.level)
        return Advice(fps, side_px, quality)

    def _news(self) -> dict[str, Advice]:
        news = {}
        for key, camera in self._cameras.items():
            advice = self._advice(camera)
            if camera.told is None or _differs(advice, camera.told):
                news[key] = camera.told = advice
        return news


def fair_rates(asks: Sequence[Ask], budget_s: float) -> list[float]:
    """Frames a second for each: the same multiple of its weight, no more than it asks and no less
    than its minimum, so that together they cost `budget_s` a second; all they ask where it fits.
    """
    if sum(ask.fps * ask.cost_s for ask in asks) <= budget_s:
        return [ask.fps for ask in asks]
    low, high = 0.0, max(ask.fps / ask.weight for ask in asks)
    for _ in range(40):
        middle = (low + high) / 2
        fits = sum(_rate(ask, middle) * ask.cost_s for ask in asks) <= budget_s
        low, high = (middle, high) if fits else (low, middle)
    return [_rate(ask, low) for ask in asks]


def _rate(ask: Ask, multiple: float) -> float:
    return max(ask.fps_min, min(ask.fps, multiple * ask.weight))


def _differs(new: Advice, told: Advice) -> bool:
    sizes_differ = (new.side_px_max, new.jpeg_quality) != (told.side_px_max, told.jpeg_quality)
    if sizes_differ or 0.0 in (new.fps_max, told.fps_max):
        return new != told
    return abs(new.fps_max - told.fps_max) > WORTH_TELLING * told.fps_max
