"""What the public is told: the words, that everybody can read them, and that they are the same."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
import typst
from pypdf import PdfReader

from cordon_admin import typeset
from cordon_admin.notice import PAPERS, Notice, to_leaflet, to_page, to_sign
from cordon_client.errors import ClientError
from cordon_client.output import to_json

NOTICE = Notice(
    deployment="market",
    place="Market Street, north entrance",
    start_time=datetime(2026, 5, 1, 10, tzinfo=UTC),
    end_time=datetime(2026, 5, 1, 16, tzinfo=UTC),
    purpose="Finding sought people where intelligence says they will be",
    categories=("Wanted by the courts on a warrant", "Missing and at risk of harm"),
    responsible="Example Constabulary, Superintendent in charge of the town centre",
    lawful_basis="Common law powers to prevent crime; Data Protection Act 2018, section 35",
    complaints="Ask any officer here, or write to complaints@example.org",
    record_url="https://example.org/live-facial-recognition/market",
    policy="uk-police",
    policy_digest="ab" * 32,
    authority_digest="cd" * 32,
    match_hours_max=24,
)
TOLD = (
    NOTICE.place,
    NOTICE.purpose,
    NOTICE.responsible,
    NOTICE.lawful_basis,
    NOTICE.complaints,
    NOTICE.record_url,
    *NOTICE.categories,
)


@pytest.mark.serves("R19")
def test_sign_leaflet_and_page_say_the_same() -> None:
    texts = {
        **{f"sign {paper}": _text(to_sign(NOTICE, paper)) for paper in PAPERS},
        "leaflet": _text(to_leaflet(NOTICE)),
        "page": _flat(re.sub(r"<[^>]*>", " ", to_page(NOTICE))),
    }

    for name, text in texts.items():
        for words in TOLD:
            assert _flat(words) in text, (name, words)


@pytest.mark.serves("R19")
@pytest.mark.parametrize("paper", PAPERS)
def test_a_sign_is_one_tagged_page_with_a_title_and_a_language(paper: str) -> None:
    reader = PdfReader(io.BytesIO(to_sign(NOTICE, paper)))

    assert len(reader.pages) == 1
    _check_tagged(reader)
    width, height = (float(side) * 25.4 / 72 for side in reader.pages[0].mediabox[2:])
    assert (round(width), round(height)) == {"a3": (297, 420), "a4": (210, 297)}[paper]


@pytest.mark.serves("R19")
def test_a_leaflet_is_tagged_and_fits_two_sides() -> None:
    reader = PdfReader(io.BytesIO(to_leaflet(NOTICE)))

    assert len(reader.pages) == 2
    _check_tagged(reader)


@pytest.mark.serves("R19")
def test_the_longest_words_that_may_be_given_stay_on_the_page() -> None:
    long = ("A place with a long name " * 20)[:200]
    notice = replace(NOTICE, place=long, responsible=long, lawful_basis=long, complaints=long)

    for paper in PAPERS:
        made = to_sign(notice, paper)
        assert len(PdfReader(io.BytesIO(made)).pages) == 1
        assert _text(made).count(_flat(long)) == 4


@pytest.mark.serves("R19")
def test_the_code_on_the_sign_leads_to_the_published_record() -> None:
    picture = typst.compile(
        b'#image(bytes(sys.inputs.qr), format: "svg", width: 60mm)',
        sys_inputs={"qr": typeset.qr(NOTICE.record_url)},
        format="png",
        ppi=150.0,
    )
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None

    found, *_ = cv2.QRCodeDetector().detectAndDecode(image)

    assert found == NOTICE.record_url


@pytest.mark.serves("R19")
def test_the_notice_for_programs_is_what_its_schema_says() -> None:
    path = resources.files("cordon_admin").joinpath("templates", "notice.schema.json")
    schema = json.loads(path.read_text(encoding="utf-8"))
    record = json.loads(to_json(NOTICE.record))

    jsonschema.validate(record, schema)
    for name in record:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in record.items() if k != name}, schema)


def test_what_was_typed_into_an_authority_is_no_markup() -> None:
    notice = replace(NOTICE, place='<b>#panic() $x$ *bold* "', complaints="a & b")

    assert "<b>" not in to_page(notice)
    assert "&lt;b&gt;" in to_page(notice)
    assert _flat(notice.place) in _text(to_sign(notice, "a4"))


def test_the_page_can_be_read_without_seeing_it() -> None:
    page = to_page(NOTICE)

    assert '<html lang="en">' in page
    assert page.count("<h1>") == 1
    assert "<script" not in page
    assert 'scope="row"' in page


def test_who_lacks_the_extra_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("typst", "segno"):
        with monkeypatch.context() as patched:
            patched.setitem(__import__("sys").modules, missing, None)
            with pytest.raises(ClientError) as refused:
                to_sign(NOTICE, "a4")
            assert "cordon[admin]" in refused.value.hint


def _check_tagged(reader: PdfReader) -> None:
    root: Any = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None
    assert reader.metadata.title
    assert b"pdfuaid:part" in root["/Metadata"].get_data()


def _text(pdf: bytes) -> str:
    return _flat(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages))


def _flat(text: str) -> str:
    """Without blanks and line ends: where words break is the layout's."""
    return re.sub(r"\s", "", text.replace("&amp;", "&"))
