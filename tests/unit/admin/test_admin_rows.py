from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cordon.v1 import watchlist_pb2
from cordon_admin.particulars import NOTHING_SAID
from cordon_admin.rows import BadRow, Row, read_rows
from cordon_client.errors import ClientError, ExitCode

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture to point at, and room for a CSV file beside it."""
    (tmp_path / "a.jpg").write_bytes(b"picture")
    return tmp_path


def csv_of(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join(lines) + "\n", encoding=encoding)
    return path


def test_a_folder_holds_one_folder_a_subject(tmp_path: Path) -> None:
    for name in ("b/1.JPG", "a/2.png", "a/1.jpeg", "a/3.webp", "a/notes.txt", "loose.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    rows = read_rows(tmp_path, "wanted")

    assert [(row.number, row.external_ref, row.image.name) for row in rows.good] == [
        (1, "a", "1.jpeg"),
        (2, "a", "2.png"),
        (3, "a", "3.webp"),
        (4, "b", "1.JPG"),
    ]
    assert {row.category for row in rows.good} == {"wanted"}


def test_a_subject_without_pictures_is_reported(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    rows = read_rows(tmp_path, "wanted")

    assert [(bad.external_ref, "no .jpg" in bad.message) for bad in rows.bad] == [("empty", True)]


def test_a_csv_names_its_rows_by_line(folder: Path) -> None:
    path = csv_of(
        folder,
        "external_ref,image,category,threshold,face_x,face_y",
        "A-1,a.jpg,missing,0.5,10,20.5",
        "A-2,a.jpg,,,,",
    )

    rows = read_rows(path, "wanted")

    image = folder / "a.jpg"
    assert rows.good == [
        Row(2, "A-1", image, "missing", 0.5, (10.0, 20.5)),
        Row(3, "A-2", image, "wanted", None, None),
    ]
    assert rows.bad == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (",a.jpg,w,,,", "external_ref is empty"),
        ("A,,w,,,", "image is empty"),
        ("A,gone.jpg,w,,,", "there is no file"),
        ("A,a.jpg,,,,", "category is empty"),
        ("A,a.jpg,w,high,,", "threshold 'high' is not a number"),
        ("A,a.jpg,w,nan,,", "threshold 'nan' is not a number"),
        ("A,a.jpg,w,1.5,,", "threshold 1.5 is not between -1 and 1"),
        ("A,a.jpg,w,,1,", "face_x and face_y go together"),
        ("A,a.jpg,w,,1,inf", "face_y 'inf' is not a number"),
        ("A,a.jpg,w,,,,extra", "more cells than the heading"),
        ("A", "image is empty"),
    ],
)
def test_a_bad_row_is_told_by_its_line_and_the_others_go_on(
    folder: Path, line: str, message: str
) -> None:
    heading = "external_ref,image,category,threshold,face_x,face_y"
    path = csv_of(folder, heading, line, "B,a.jpg,w,,,")

    rows = read_rows(path, "")

    assert [row.external_ref for row in rows.good] == ["B"]
    (bad,) = rows.bad
    assert isinstance(bad, BadRow)
    assert bad.number == 2
    assert message in bad.message


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ("external_ref,picture", "image is missing, 'picture' is not known"),
        ("A-1,a.jpg", "external_ref is missing"),
    ],
)
def test_a_heading_that_does_not_fit_is_refused(folder: Path, heading: str, message: str) -> None:
    with pytest.raises(ClientError) as refused:
        read_rows(csv_of(folder, heading, "A,a.jpg"), "wanted")

    assert message in refused.value.what
    assert refused.value.exit_code is ExitCode.USAGE


def test_what_spreadsheets_save_is_read(folder: Path) -> None:
    path = csv_of(folder, "external_ref;image", "Ä-1;a.jpg", encoding="utf-8-sig")

    assert [row.external_ref for row in read_rows(path, "wanted").good] == ["Ä-1"]


def test_a_file_that_is_not_text_is_refused_in_words(folder: Path) -> None:
    (folder / "list.csv").write_bytes(b"\xff\xd8\xff\xe0" * 10)

    with pytest.raises(ClientError, match="is not UTF-8 text"):
        read_rows(folder / "list.csv", "wanted")


def test_an_unclosed_quote_is_refused_in_words(folder: Path) -> None:
    path = csv_of(folder, "external_ref,image", 'A,"a.jpg')

    with pytest.raises(ClientError, match="is not a CSV file"):
        read_rows(path, "wanted")


@pytest.mark.parametrize("name", ["nothing-there", "empty"])
def test_nothing_to_import_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ClientError) as refused:
        read_rows(tmp_path / name, "wanted")

    assert refused.value.exit_code is ExitCode.USAGE


def test_a_csv_says_of_each_subject_what_the_policy_may_need(folder: Path) -> None:
    path = csv_of(
        folder,
        "external_ref,image,lawful_source,rationale,requester,birth_date,age_group,expire_time,"
        "captured_on,override_reason",
        "A-1,a.jpg,Own Record,seen here,unit 4,1990-05-01,ADULT,2026-01-31T18:00:00Z,2026-01-30,"
        "the only one",
        "A-2,a.jpg,,,,,,,,",
    )

    said, silent = (row.said for row in read_rows(path, "wanted").good)

    row = watchlist_pb2.ImportRow()
    said.fill(row)
    assert row.lawful_source == watchlist_pb2.LAWFUL_SOURCE_OWN_RECORD
    assert row.age_group == watchlist_pb2.AGE_GROUP_ADULT
    assert row.expire_time.ToJsonString() == "2026-01-31T18:00:00Z"
    assert (row.rationale, row.requester, row.override_reason) == (
        "seen here",
        "unit 4",
        "the only one",
    )
    assert (row.birth_date, row.captured_on) == ("1990-05-01", "2026-01-30")
    assert silent == NOTHING_SAID
    assert silent.over(said) == said


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("lawful_source", "the internet"),
        ("birth_date", "1.5.1990"),
        ("age_group", "looks 20"),
        ("expire_time", "soon"),
        ("captured_on", "2026-02-30"),
    ],
)
def test_what_is_said_in_no_known_way_is_that_rows_fault(
    folder: Path, column: str, value: str
) -> None:
    path = csv_of(folder, f"external_ref,image,{column}", f"A-1,a.jpg,{value}")

    rows = read_rows(path, "wanted")

    assert rows.good == []
    assert column in rows.bad[0].message
