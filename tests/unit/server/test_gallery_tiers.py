"""Every tier of the gallery under one contract: what brute force decides, they decide."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cordon_server.domain import InvalidInput, Template
from cordon_server.gallery import Gallery, Reference
from cordon_server.gallery.groups import (
    GROUP_MAX,
    GROUPS_PROPOSED,
)
from tests.unit.server.faces import (
    DIMENSION,
    MODEL,
    THRESHOLD,
    TIERS,
    a_gallery,
    assert_decides_like,
    people,
    pictures,
    references,
    settled,
)

NewGallery = Callable[[], Gallery]


@pytest.fixture(params=list(TIERS))
def new_gallery(request: pytest.FixtureRequest) -> NewGallery:
    tier: str = request.param
    return lambda: a_gallery(tier)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(TIERS)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 59)), max_size=30),
    st.integers(0, 5),
)
def test_whatever_changed_each_tier_decides_as_brute_force_does(
    tier: str, changes: list[tuple[bool, int]], seed: int
) -> None:
    centres = people(60, seed)
    every = references(centres, 3, seed)
    gallery = a_gallery(tier)
    gallery.add(every[:90])
    listed = every[:90]
    for is_removed, person in changes:
        if is_removed:
            gallery.remove_entry(f"s{person}")
            listed = [each for each in listed if each.entry_id != f"s{person}"]
        else:
            more = [each for each in every if each.entry_id == f"s{person}"]
            gallery.add(more)
            listed += [each for each in more if each not in listed]

    probes = np.concatenate([pictures(centres, 0.5, seed + 9), people(8, seed + 1)])
    assert len(gallery) == len(listed)
    assert_decides_like(gallery, listed, probes)
    settled(gallery)
    assert_decides_like(gallery, listed, probes)


def test_thousands_of_references_are_decided_as_brute_force_does(new_gallery: NewGallery) -> None:
    centres = people(500, 1)
    listed = references(centres, 4, 2)
    gallery = new_gallery()
    gallery.add(listed)

    assert_decides_like(settled(gallery), listed, pictures(centres[:200], 0.6, 7))


def test_the_margin_is_right_where_one_subject_fills_all_that_is_fetched(
    new_gallery: NewGallery,
) -> None:
    (centre,) = people(1, 5)
    same = pictures(np.repeat(centre[None], (GROUPS_PROPOSED + 5) * GROUP_MAX, axis=0), 0.05, 6)
    crowd = references(people(40, 8), 1, 9, prefix="other")
    listed = [Reference("a", f"r{n}", Template(v, MODEL)) for n, v in enumerate(same)] + crowd
    gallery = new_gallery()
    gallery.add(listed)

    assert_decides_like(settled(gallery), listed, centre[None])


def test_a_subject_alone_leads_by_its_whole_score(new_gallery: NewGallery) -> None:
    (centre,) = people(1, 5)
    same = pictures(np.repeat(centre[None], 40, axis=0), 0.05, 6)
    gallery = new_gallery()
    gallery.add(Reference("a", f"r{n}", Template(v, MODEL)) for n, v in enumerate(same))

    (candidate,) = settled(gallery).search(centre[None])

    assert candidate is not None
    assert candidate.margin == candidate.score


def test_a_removed_subject_is_gone_from_the_very_next_search(new_gallery: NewGallery) -> None:
    centres = people(300, 10)
    listed = references(centres, 2, 11)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)

    for person in range(40):
        gallery.remove_entry(f"s{person}")
        found = gallery.search(centres[: person + 1])
        gone = {f"s{n}" for n in range(person + 1)}
        assert not gone & {candidate.entry_id for candidate in found if candidate}
        assert not gone & {entry for entry, *_ in gallery.similar(Template(centres[0], MODEL), 9)}
    left = [each for each in listed if int(each.entry_id[1:]) >= 40]
    assert_decides_like(settled(gallery), left, centres)


def test_a_subject_may_come_back_with_the_same_names(new_gallery: NewGallery) -> None:
    centres = people(60, 14)
    listed = references(centres, 2, 15)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)

    for _ in range(3):
        gallery.remove_entry("s7")
        gallery.add(listed)
        assert_decides_like(gallery, listed, centres)
    assert_decides_like(settled(gallery), listed, centres)


def test_an_entrys_own_threshold_and_category_come_with_its_candidate(
    new_gallery: NewGallery,
) -> None:
    centres = people(60, 16)
    gallery = new_gallery()
    gallery.add(references(centres, 1, 17))
    gallery.add([Reference("s3", "newest", Template(centres[3], MODEL), "missing", 0.31)])

    own, other = settled(gallery).search(centres[3:5])

    assert own is not None
    assert other is not None
    assert (own.threshold, own.category) == (0.31, "missing")
    assert (other.threshold, other.category) == (THRESHOLD, "wanted")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_damaged_template_enters_neither_tier(new_gallery: NewGallery, value: float) -> None:
    centres = people(60, 21)
    listed = references(centres, 1, 22)
    gallery = new_gallery()
    gallery.add(listed)
    bad = Template(np.full(DIMENSION, value, np.float32), MODEL)

    with pytest.raises(InvalidInput):
        gallery.add([*references(centres, 1, 23, "more"), Reference("bad", "r", bad)])

    assert len(gallery) == 60
    assert_decides_like(settled(gallery), listed, centres)


def test_a_probe_that_is_no_number_passes_no_threshold_and_spoils_no_other(
    new_gallery: NewGallery,
) -> None:
    centres = people(60, 24)
    listed = references(centres, 1, 25)
    gallery = new_gallery()
    gallery.add(listed)
    settled(gallery)
    for value in (np.nan, np.inf):
        probes = centres[:3].copy()
        probes[1, 4] = value
        with np.errstate(invalid="ignore"):
            first, bad, last = gallery.search(probes)

        assert bad is None or not THRESHOLD <= bad.score < np.inf
        assert first is not None
        assert last is not None
        assert (first.entry_id, last.entry_id) == ("s0", "s2")


def test_searches_in_many_threads_never_find_the_removed_nor_miss_the_listed(
    new_gallery: NewGallery,
) -> None:
    centres = people(120, 26)
    gallery = new_gallery()
    gallery.add(references(centres[:60], 2, 27))
    later = [references(centres, 1, 28 + n, prefix=f"later{n}-")[60:] for n in range(12)]
    wrong: list[str] = []
    is_over = threading.Event()

    def look(start: int) -> None:
        probes = centres[start:60:3]
        wanted = [f"s{n}" for n in range(start, 60, 3)]
        while not is_over.is_set():
            found = gallery.search(probes)
            wrong.extend(
                w for w, c in zip(wanted, found, strict=True) if c is None or c.entry_id != w
            )

    threads = [threading.Thread(target=look, args=(start,)) for start in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn, more in enumerate(later):
            gallery.add(more)
            for person in range(60, 120):
                gallery.remove_entry(f"later{turn}-{person - 60 + 60}")
            found = gallery.search(centres[60:])
            wrong += [c.entry_id for c in found if c and c.entry_id.startswith("later")]
    finally:
        is_over.set()
        for thread in threads:
            thread.join(10)
    settled(gallery)

    assert wrong == []
    assert len(gallery) == 120
