from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cordon_client.errors import ClientError, ExitCode
from cordon_client.names import entry_name, parse_match
from cordon_client.output import Format, emit, rfc3339
from cordon_client.times import parse_time

LONG = "deployments/" + "x" * 60 + "/entries/" + "y" * 60
MOMENT = datetime(2026, 1, 31, 17, 0, 0, 250_000, tzinfo=UTC)
RECORDS = [
    {"name": LONG, "count": 7, "time": MOMENT, "score": 0.71234},
    {"name": "[red]b", "count": 12, "time": None, "score": 0.5},
]
COLUMNS = {"NAME": "name", "COUNT": "count", "TIME": "time", "SCORE": "score"}


def printed(capsys: pytest.CaptureFixture[str], output: Format, *, single: bool = False) -> str:
    emit(RECORDS[:1] if single else RECORDS, COLUMNS, output, single=single)
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_a_piped_table_has_one_line_a_record_and_cuts_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys, Format.TABLE).splitlines()

    assert len(lines) == 3
    assert re.split(r"\s{2,}", lines[0]) == ["NAME", "COUNT", "TIME", "SCORE"]
    assert lines[1].startswith(LONG)
    assert "0.712" in lines[1]
    assert lines[2].startswith("[red]b ")


def test_json_is_one_document_with_times_in_rfc_3339(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, Format.JSON))

    assert found[0]["time"] == "2026-01-31T17:00:00.250Z"
    assert found[0]["count"] == 7


def test_a_single_object_is_not_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed(capsys, Format.JSON, single=True))["name"] == LONG


def test_json_lines_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, Format.JSONL).splitlines()

    assert [json.loads(line)["count"] for line in lines] == [7, 12]


def test_names_are_bare(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, Format.NAME) == f"{LONG}\n[red]b\n"


def test_an_empty_table_is_talk_and_empty_json_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    emit([], COLUMNS, Format.TABLE, empty="Nobody.")
    table = capsys.readouterr()
    emit([], COLUMNS, Format.JSON)

    assert (table.out, table.err) == ("", "Nobody.\n")
    assert json.loads(capsys.readouterr().out) == []


def test_rfc_3339_is_utc() -> None:
    east = MOMENT.astimezone(timezone(timedelta(hours=2)))

    assert rfc3339(east) == "2026-01-31T17:00:00.250Z"


@pytest.mark.parametrize("text", ["2026-01-31T17:00:00Z", "2026-01-31 17:00:00+00:00"])
def test_a_time_with_a_zone_is_taken_as_it_is(text: str) -> None:
    assert parse_time(text) == MOMENT.replace(microsecond=0)


def test_a_time_without_a_zone_is_local() -> None:
    assert parse_time("2026-01-31 17:00") == datetime(2026, 1, 31, 17, 0).astimezone()


def test_anything_else_is_not_a_time() -> None:
    with pytest.raises(ClientError, match="is not a time") as refused:
        parse_time("tomorrow")

    assert refused.value.exit_code is ExitCode.USAGE


def test_names_may_be_short_or_whole() -> None:
    whole = "deployments/market/entries/A-17"

    assert entry_name("market", "A-17") == whole
    assert entry_name("deployments/market", whole) == whole
    assert parse_match("market/7") == "deployments/market/matches/7"
    assert parse_match("deployments/market/matches/7") == "deployments/market/matches/7"


@pytest.mark.parametrize(
    "given",
    [
        "market",
        "market/x",
        "market/0",
        "market/٧",
        "/7",
        "a/b/c",
        "deployments/market",
        "deployments/market/7",
        "market/matches/7",
        "",
    ],
)
def test_a_match_needs_a_deployment_and_a_number(given: str) -> None:
    with pytest.raises(ClientError, match="does not name a match"):
        parse_match(given)
