"""Data in four forms."""

import json

import pytest

from exchange.client import output

ROWS = [
    {"price": "10.5", "orders": 2, "note": None, "more": {"a": 1}, "is_open": True},
    {"price": "9", "orders": 10, "note": "x,y", "more": {}, "is_open": False},
]
COLUMNS = ("price", "orders", "note", "more", "is_open")
Captured = pytest.CaptureFixture[str]


def test_json_is_a_list_of_all_there_is(capsys: Captured) -> None:
    """Interfaces 4: `-o table|json|jsonl|csv`."""
    output.show(ROWS, "json", columns=("price",))

    assert json.loads(capsys.readouterr().out) == ROWS


def test_one_thing_is_an_object(capsys: Captured) -> None:
    """Interfaces 4."""
    output.show_one(ROWS[0], "json", columns=("price",))

    assert json.loads(capsys.readouterr().out) == ROWS[0]


def test_json_lines_are_one_object_each(capsys: Captured) -> None:
    """Interfaces 4."""
    output.show(ROWS, "jsonl", columns=("price",))

    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_csv_has_a_header_and_quotes_what_needs_it(capsys: Captured) -> None:
    """Interfaces 4."""
    output.show(ROWS, "csv", columns=COLUMNS)

    assert capsys.readouterr().out == (
        'price,orders,note,more,is_open\n10.5,2,,"{""a"":1}",yes\n9,10,"x,y",{},no\n'
    )


def test_table_has_a_heading_and_numbers_to_the_right(capsys: Captured) -> None:
    """Interfaces 4."""
    output.show(ROWS, "table", columns=("price", "orders", "is_open"), title="Book")

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[1:] == [
        "price  orders  is open",
        " 10.5       2  yes",
        "    9      10  no",
    ]


def test_markup_in_data_is_text(capsys: Captured) -> None:
    """Faults 3: what others name is not ours to interpret."""
    output.show([{"note": "[red]x[/red]\x1b[31m"}], "table", columns=("note",))

    assert "[red]x[/red]" in capsys.readouterr().out


def test_talk_is_not_data(capsys: Captured) -> None:
    """Interfaces 4: data on stdout, talk on stderr."""
    output.talk("done")

    assert capsys.readouterr() == ("", "done\n")


def test_one_is_not_many() -> None:
    """People read it."""
    assert [output.counted(number, "order") for number in (0, 1, 2)] == [
        "0 orders",
        "1 order",
        "2 orders",
    ]
