"""A list of known pictures as `preflight` reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cordon_client.errors import ClientError
from cordon_control.preflight import LIST, PICTURE_BYTES_MAX, read_known


def a_folder(folder: Path, text: str) -> Path:
    (folder / "1.jpg").write_bytes(b"jpeg")
    (folder / "2.jpg").write_bytes(b"jpeg")
    with (folder / "large.jpg").open("wb") as file:
        file.truncate(PICTURE_BYTES_MAX + 1)
    (folder / LIST).write_text(text)
    return folder


def test_a_list_names_pictures_and_who_is_on_them(tmp_path: Path) -> None:
    text = "\ufefffile,reference\n1.jpg,V-1\n2.jpg,V-2\n2.jpg,V-1\n"
    found = read_known(a_folder(tmp_path, text))

    assert [(each.file.name, each.reference) for each in found] == [
        ("1.jpg", "V-1"),
        ("2.jpg", "V-2"),
        ("2.jpg", "V-1"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "first line"),
        ("picture,who\n1.jpg,V-1\n", "first line"),
        ("file,reference\n", "names no picture"),
        ("file,reference\n1.jpg\n", "Line 2"),
        ("file,reference\n1.jpg,V-1,V-2\n", "Line 2"),
        ("file,reference\n1.jpg,V-1\n3.jpg,V-1\n", "Line 3 names 3.jpg"),
        ("file,reference\nlarge.jpg,V-1\n", "larger than any frame"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ClientError) as refused:
        read_known(a_folder(tmp_path, text))

    assert why in str(refused.value.why)


def test_a_folder_without_a_list_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="not a list of known pictures"):
        read_known(tmp_path)
