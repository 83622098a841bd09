"""Forecasts false matches of a deployment from its list as it is now (R15, R17)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from cordon_server.authority.forecast import Comparisons, Crowd, Forecast, Tail, forecast
from cordon_server.authority.impostors import non_mated
from cordon_server.gallery import Rows
from cordon_server.recognition.models.pack import Impostors, ImpostorTail
from cordon_server.sessions.live import Live


@dataclass(frozen=True, slots=True)
class Forecasting:
    """What forecasts rest on beside the list. Compares in threads: a long list takes seconds."""

    live: Live
    model: Comparisons | None
    """How alike strangers are to the model."""
    margin_min: float
    fpir_max: float
    """The policy's."""

    async def forecast(
        self,
        deployment_id: str,
        *,
        faces_per_hour: float,
        operators: int,
        threshold: float | None = None,
    ) -> Forecast:
        """Of one deployment, at its own threshold or another; raises `NotFound` or `NotReady`."""
        opened = await self.live.opened(deployment_id)
        record = opened.record
        hours = (record.end_time - record.start_time) / timedelta(hours=1)
        return await asyncio.to_thread(
            self._forecast,
            opened.gallery.rows,
            opened.watchlist.cohort,
            record.threshold if threshold is None else threshold,
            Crowd(faces_per_hour, hours, operators),
        )

    def _forecast(
        self, rows: Rows, cohort: NDArray[np.float32], threshold: float, crowd: Crowd
    ) -> Forecast:
        strangers = cohort if len(cohort) else None
        return forecast(
            non_mated(rows, threshold=threshold, margin_min=self.margin_min, cohort=strangers),
            self.model,
            subjects=len(np.unique(rows.subject_of)),
            references=len(rows),
            has_cohort=strangers is not None,
            threshold=threshold,
            fpir_max=self.fpir_max,
            crowd=crowd,
        )


def comparisons(impostors: Impostors | None) -> Comparisons | None:
    """What a model pack says of strangers, as forecasts take it."""
    if impostors is None:
        return None
    return Comparisons(*map(_tail, (impostors.expected, impostors.low, impostors.high)))


def _tail(measured: ImpostorTail) -> Tail:
    return Tail(measured.score, measured.share, measured.decline, shape=0.0)
