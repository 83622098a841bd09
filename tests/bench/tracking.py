"""Tracks and the decision rule on real videos: `python -m tests.bench.tracking`.

First how well faces are kept apart: *switches* are changes of person within a track, *fragments*
tracks of a person beyond one a visit, a visit ending with an absence longer than a track waits.
Then what is decided: the people listed are those known to be in the clips, among them everyone of
LFW as decoys. An alert is one subject raised on one track of one clip, for both ways alike.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cordon_server.domain import Candidate, Face, UnusablePicture
from cordon_server.recognition.decide import DecisionRule
from cordon_server.recognition.enrol import Enroller
from cordon_server.recognition.models.sessions import Models
from cordon_server.recognition.tracker import Tracker, TrackerRules
from cordon_server.recognition.tracks import CameraTracks
from cordon_server.sessions.visits import Visits
from tests.bench.accuracy import shipped_models
from tests.bench.clips import Clip, Replay, SeenFrame, jpegs, see_clip
from tests.data import shared_data
from tests.integration.test_street import BOY, MAN

THRESHOLDS = (0.35, 0.38, 0.40, 0.43, 0.45, 0.47, 0.50, 0.55, 0.60)
LOW_FPS = 8.0
STREET, FRIENDS = "covent_garden_1080p", "friends_a_720p"
STREET_FROM = 55
"""The walkers are enrolled from the first second and looked for from this frame on."""
DECOY_SCORE_MAX = 0.5
"""A decoy that is this close to someone listed is the same celebrity, and left out."""


class Watchlist:
    """Everyone listed, searched exactly, at one threshold."""

    def __init__(self, entries: dict[str, NDArray[np.float32]]) -> None:
        self._names = list(entries)
        self._references = np.stack(list(entries.values()))
        self.threshold = 1.0

    def search(self, probes: NDArray[np.float32]) -> list[Candidate | None]:
        return [self._best(scores) for scores in probes @ self._references.T]

    def _best(self, scores: NDArray[np.float32]) -> Candidate:
        second, first = np.argsort(scores)[-2:]
        score, margin = float(scores[first]), float(scores[first] - scores[second])
        return Candidate(self._names[first], "", score, margin, self.threshold)


@dataclass(frozen=True, slots=True)
class Alerts:
    """What one way of deciding raised over all clips."""

    found: int
    """Listed people found, of those known to be in the clips, each clip by itself."""
    true: int
    false: int
    """Alerts: subjects by track."""
    raised: int
    """Messages to the control room; every frame that matches is one, or every revision."""


def tracked_numbers(clip: Clip, rules: TrackerRules | None = None) -> dict[int, int]:
    """The track of each face, by id of the face."""
    tracker = Tracker(rules)
    return {
        id(face): number
        for frame in clip.frames
        for face, number in zip(
            frame.faces, tracker.update(frame.faces, frame.time_s)[0], strict=True
        )
    }


def continuity(clip: Clip, rules: TrackerRules | None = None) -> dict[str, int]:
    """Counts of one clip: people, visits, tracks of known people, switches, fragments."""
    numbers = tracked_numbers(clip, rules)
    lost_s_max = (rules or TrackerRules()).lost_s_max
    seen_s: dict[int, float] = {}
    visit_of: Counter[int] = Counter()
    of_track: dict[int, int] = {}
    pairs: set[tuple[int, int, int]] = set()
    switches = 0
    for frame in clip.frames:
        for face in frame.faces:
            if (person := frame.person_of.get(id(face))) is None:
                continue
            track = numbers[id(face)]
            visit_of[person] += frame.time_s - seen_s.get(person, -1e9) > lost_s_max
            switches += of_track.get(track, person) != person
            seen_s[person], of_track[track] = frame.time_s, person
            pairs.add((person, visit_of[person], track))
    return {
        "faces": sum(len(frame.faces) for frame in clip.frames),
        "people": len(clip.people),
        "visits": visit_of.total(),
        "tracks": len({track for _, _, track in pairs}),
        "switches": switches,
        "fragments": len(pairs) - visit_of.total(),
    }


def tracked(
    replay: Replay, clips: Iterable[Clip], listed: Watchlist, truth: Truth, rule: DecisionRule
) -> Alerts:
    """The server's rule on tracks; of each track by itself, so without the cool-down."""
    raised = []
    for clip in clips:
        tracks, visits = CameraTracks(rule), Visits(replace(rule, cool_down_s=0.0))
        visits.came(clip.name)
        for frame in clip.frames:
            sightings = replay.decide(frame, listed, tracks).sightings
            news = visits.news(clip.name, sightings, frame.time_s)
            visits.logged(clip.name, news, [0] * len(news), frame.time_s)
            for each in (one.sighting for one in news):
                face = next(f for f in frame.faces if f.box == each.box)
                raised.append((clip, frame, face, each.track or 0, each.candidate.entry_id))
    return _alerts(raised, truth)


def single(clips: Iterable[Clip], listed: Watchlist, truth: Truth) -> Alerts:
    """Every face by itself: the best candidate, if it reaches the threshold."""
    raised = []
    for clip in clips:
        numbers = tracked_numbers(clip)
        for frame in clip.frames:
            faces = [face for face in frame.faces if id(face) in frame.probe_of]
            if not faces:
                continue
            vectors = np.stack([frame.probe_of[id(face)].vector for face in faces])
            for face, best in zip(faces, listed.search(vectors), strict=True):
                if best is not None and best.score >= best.threshold:
                    raised.append((clip, frame, face, numbers[id(face)], best.entry_id))
    return _alerts(raised, truth)


Raised = tuple[Clip, SeenFrame, Face, int, str]


def _alerts(raised: Sequence[Raised], truth: Truth) -> Alerts:
    """An alert is true if any of its frames is."""
    verdict: dict[tuple[str, int, str], bool] = {}
    for clip, frame, face, track, entry in raised:
        key = (clip.name, track, entry)
        verdict[key] = verdict.get(key, False) or truth.is_true(clip, frame, face, entry)
    found = {(name, entry) for (name, _, entry), is_true in verdict.items() if is_true}
    true = sum(verdict.values())
    return Alerts(len(found), true, len(verdict) - true, len(raised))


class Truth:
    """Who is who: the walkers by labels made by eye, the friends by all their faces together."""

    def __init__(self, listed: dict[str, NDArray[np.float32]], clips: Iterable[Clip]) -> None:
        self._name_of = {
            (clip.name, person): name
            for clip in clips
            if clip.name.startswith(FRIENDS)
            for person, name in _named(clip, listed).items()
        }

    @property
    def known(self) -> int:
        """How many (clip, listed person) are to be found among the friends."""
        return len({(clip, name) for (clip, _), name in self._name_of.items()})

    def is_true(self, clip: Clip, frame: SeenFrame, face: Face, entry: str) -> bool:
        if clip.name.startswith(STREET):
            box = {"x": face.box.x, "width": face.box.width}
            return any(w.name == entry and w.is_at(frame.number, box) for w in (BOY, MAN))
        person = frame.person_of.get(id(face), -1)
        return self._name_of.get((clip.name, person)) == entry


def _named(clip: Clip, listed: dict[str, NDArray[np.float32]]) -> dict[int, str]:
    names = {}
    for person in clip.people:
        vectors = [
            frame.probe_of[id(face)].vector
            for frame in clip.frames
            for face in frame.faces
            if frame.person_of.get(id(face)) == person and id(face) in frame.probe_of
        ]
        if not vectors:
            continue
        mean = np.mean(vectors, axis=0)
        mean /= np.linalg.norm(mean)
        best = max(listed, key=lambda name: float(listed[name] @ mean))
        if float(listed[best] @ mean) >= 0.5:
            names[person] = best
    return names


def enrolled(models: Models) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The people listed, then everyone of LFW; and the decoys that were left out."""
    enroller = Enroller(models)
    listed = {
        still.stem: enroller.examine(still.read_bytes()).template.vector
        for still in sorted(shared_data("friends_yakhyo", "faces").glob("*.png"))
    }
    street = [jpeg for jpeg, _ in jpegs(shared_data("videos", "walking", f"{STREET}.mp4"))]
    for walker in (BOY, MAN):
        x, y = walker.enrolled_at
        picture = street[walker.enrolled_frame]
        listed[walker.name] = enroller.examine(picture, (float(x), float(y))).template.vector
    decoys, left_out = {}, []
    for folder in sorted(each for each in shared_data("lfw", "deepfunneled").iterdir()):
        vector = _template(enroller, min(folder.glob("*.jpg"))) if folder.is_dir() else None
        if vector is None:
            continue
        if max(float(vector @ other) for other in listed.values()) > DECOY_SCORE_MAX:
            left_out.append(folder.name)
        else:
            decoys[folder.name] = vector
    return listed | decoys, left_out


def _template(enroller: Enroller, picture: Path) -> NDArray[np.float32] | None:
    try:
        return enroller.examine(picture.read_bytes()).template.vector
    except UnusablePicture:
        return None


def looked_at(clips: Sequence[Clip]) -> list[Clip]:
    """The clips as decided on: of the street, only what comes after the enrolment."""
    return [
        Clip(clip.name, clip.fps, [f for f in clip.frames if f.number >= STREET_FROM])
        if clip.name.startswith(STREET)
        else clip
        for clip in clips
    ]


def continuity_table(clips: Sequence[Clip]) -> str:
    rows = []
    total: Counter[str] = Counter()
    for clip in clips:
        counts = continuity(clip)
        total.update(counts)
        rows.append((clip.name, f"{clip.fps:.0f}", *map(str, counts.values())))
    rows.append(("all", "", *map(str, total.values())))
    head = ("clip", "fps", "faces", "people", "visits", "tracks", "switches", "fragments")
    return _table(head, rows)


def decision_table(
    replay: Replay, clips: Sequence[Clip], listed: Watchlist, truth: Truth, rule: DecisionRule
) -> str:
    rows = []
    for threshold in THRESHOLDS:
        listed.threshold = threshold
        one, other = single(clips, listed, truth), tracked(replay, clips, listed, truth, rule)
        cells: Callable[[Alerts], tuple[str, ...]] = lambda a: (  # noqa: E731 - one use, beside it
            str(a.found),
            str(a.false),
            str(a.raised),
        )
        is_met = other.found >= one.found and 2 * other.false <= one.false
        rows.append((f"{threshold:.2f}", *cells(one), *cells(other), "yes" if is_met else "NO"))
    head = ("threshold", "found", "false", "raised", "found, tracked", "false", "raised", "goal")
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    models = shipped_models()
    replay = Replay(models)
    clips = []
    for video in sorted(shared_data("videos").glob("*/*")):
        clip = see_clip(video, replay)
        clips += [clip, clip.thinned(LOW_FPS)]
        print(f"seen: {clip.name}", file=sys.stderr, flush=True)
    entries, left_out = enrolled(models)
    rule, truth = DecisionRule(), Truth(entries, clips)
    print(continuity_table(clips))
    print(f"\n{len(entries)} listed; left out as the same people: {', '.join(left_out) or 'none'}")
    print(f"to be found: {truth.known} of the friends' clips, 4 of the street's; {rule}\n")
    print(decision_table(replay, looked_at(clips), Watchlist(entries), truth, rule))


if __name__ == "__main__":
    main()
