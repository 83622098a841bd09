"""From a frame's outcome to its camera's answer: through the match log where it raised matches.

A match is written to the log before anyone hears of its frame.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from cordon_server.domain import VOLUNTEER, CordonError, Frame, FrameResult, Sighting
from cordon_server.matches.drift import Sample
from cordon_server.recognition.line import FrameFate, Outcome
from cordon_server.sessions.camera import CameraSession
from cordon_server.sessions.deployment import OpenDeployment

log = structlog.get_logger()


class Answers:
    """Answers every frame of every camera. Used from the event loop alone."""

    def __init__(
        self,
        *,
        tasks: asyncio.TaskGroup,
        clock: Callable[[], datetime],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks = tasks
        self._clock = clock
        self._clock_s = clock_s

    def finish(self, deployment: OpenDeployment, session: CameraSession, outcome: Outcome) -> None:
        """Counts what a frame showed and answers it; at once where it raised nothing."""
        if outcome.result is not None:
            deployment.tally.note(outcome.result.counts)
            self._note_passed(deployment, session, outcome.result)
        if outcome.result is not None and outcome.result.sightings:
            self._tasks.create_task(self._log_then_answer(deployment, session, outcome))
        else:
            _answer(deployment, session, outcome)

    def _note_passed(
        self, deployment: OpenDeployment, session: CameraSession, result: FrameResult
    ) -> None:
        """Counts who has gone, where people are told apart."""
        if result.passed is None or not session.counts_people:
            return
        sample = deployment.matches.drift.passed(session.camera_id, result.passed)
        if sample is not None:
            self._tasks.create_task(_compare(deployment, session.camera_id, sample))

    async def _log_then_answer(
        self, deployment: OpenDeployment, session: CameraSession, outcome: Outcome
    ) -> None:
        assert outcome.result is not None
        deployment.watchlist.drop_expired()
        listed = tuple(
            sighting
            for sighting in outcome.result.sightings
            if sighting.candidate.entry_id in deployment.gallery
            and not _is_silenced(deployment, sighting)
        )
        volunteers = tuple(each for each in listed if each.candidate.category == VOLUNTEER)
        alerts = tuple(each for each in listed if each.candidate.category != VOLUNTEER)
        try:
            new = await self._log(deployment, session, outcome.frame, alerts, volunteers)
        except CordonError as error:
            log.error("match.not_logged", deployment=session.deployment_id, error=error.message)
            answer = replace(outcome, fate=FrameFate.REJECTED, result=None, error=error)
        else:
            answer = replace(outcome, result=FrameResult(outcome.result.counts, new))
        _answer(deployment, session, answer)

    async def _log(
        self,
        deployment: OpenDeployment,
        session: CameraSession,
        frame: Frame,
        sightings: tuple[Sighting, ...],
        volunteers: tuple[Sighting, ...],
    ) -> tuple[Sighting, ...]:
        """Logs what is news of a frame, and who of the volunteers it shows; the sightings that
        became new matches.

        Raises `NotReady` where the deployment is not recognising any more: a halt waits for what is
        being logged, and nothing is logged after it (R13).
        """
        visits = deployment.visits
        async with deployment.logging:
            deployment.check_open(self._clock())
            now_s = self._clock_s()
            news = visits.news(session.stream, sightings, now_s)
            if news:
                logged = await deployment.log.append(
                    frame, [each.sighting for each in news], [each.betters for each in news]
                )
                visits.logged(session.stream, news, logged, now_s)
            await _keep_volunteers(deployment, frame, volunteers)
        new = tuple(each.sighting for each in news if each.betters is None)
        if new and session.counts_people:
            deployment.matches.drift.alerted(session.camera_id, len(new))
        return new


async def _compare(deployment: OpenDeployment, camera_id: str, sample: Sample) -> None:
    """Looks for drift; what cannot be kept is compared anew after a restart."""
    try:
        await deployment.matches.drift.compare(camera_id, sample)
    except CordonError as error:
        name = deployment.record.deployment_id
        log.error("drift.not_kept", deployment=name, error=error.message)


async def _keep_volunteers(
    deployment: OpenDeployment, frame: Frame, sightings: tuple[Sighting, ...]
) -> None:
    """Keeps who of the volunteers was recognised; what a full disk loses costs no alert."""
    try:
        await deployment.matches.volunteers.seen(frame, sightings)
    except CordonError as error:
        name = deployment.record.deployment_id
        log.error("volunteer.not_kept", deployment=name, error=error.message)


def _is_silenced(deployment: OpenDeployment, sighting: Sighting) -> bool:
    """Whether a person has judged this face not to be that subject's."""
    candidate = sighting.candidate
    return deployment.matches.silenced.silences(
        candidate.entry_id, sighting.vector, candidate.score
    )


def _answer(deployment: OpenDeployment, session: CameraSession, outcome: Outcome) -> None:
    session.answer(outcome)
    forget_when_over(deployment, session)


def forget_when_over(deployment: OpenDeployment, session: CameraSession) -> None:
    """Forgets the matches of a stream when its last frame is answered, and not before: one that is
    still in work may better them."""
    if session.is_over:
        deployment.visits.left(session.stream)
