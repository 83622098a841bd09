"""Cameras that come and go for as long as asked: `python -m tests.bench.soak PLAN`.

The plan is that of `cameras`, its `seconds` the whole time. Each camera streams for some seconds,
leaves, and comes back a little later, all of them at different moments. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.bench.cameras import Camera, CameraPlan, Plan, Stretch
from tests.bench.street import frame_files

_STAY_S = (4.0, 12.0)
_AWAY_S = (0.5, 3.0)


async def come_and_go(
    plan: CameraPlan, jpegs: list[bytes], until_s: float, chance: random.Random
) -> Counter[str]:
    """One camera's visits; what it counted in all of them."""
    counts: Counter[str] = Counter()
    await asyncio.sleep(chance.uniform(*_AWAY_S))
    while (now_s := time.perf_counter()) < until_s:
        stretch = Stretch(now_s, min(until_s, now_s + chance.uniform(*_STAY_S)))
        camera = Camera(plan, jpegs, stretch, 0.0)
        await camera.run(0.0)
        counts += camera.tally.fates
        counts["visits"] += 1
        await asyncio.sleep(chance.uniform(*_AWAY_S))
    return counts


async def soak(plan: Plan) -> Counter[str]:
    """All cameras, to the end."""
    jpegs = [path.read_bytes() for path in frame_files(Path(plan.frames))]
    until_s = time.perf_counter() + plan.seconds
    async with asyncio.TaskGroup() as group:
        visits = [
            group.create_task(come_and_go(camera, jpegs, until_s, random.Random(number)))
            for number, camera in enumerate(plan.cameras)
        ]
    return sum((each.result() for each in visits), Counter())


def main() -> None:
    told = json.loads(sys.argv[1])
    cameras = tuple(CameraPlan(**each) for each in told.pop("cameras"))
    print(json.dumps(asyncio.run(soak(Plan(cameras=cameras, **told)))))


if __name__ == "__main__":
    main()
