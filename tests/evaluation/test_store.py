"""The database of counted groups: each counts once, what is damaged is not believed."""

import sqlite3
from dataclasses import replace

import pytest
from helpers.measures import group_measures

from dbp.errors import DbpError, InputError
from dbp.evaluation.store import Results, remove


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "results.sqlite"


def test_groups_come_back_as_they_were_and_count_once(path):
    groups = [group_measures(seed) for seed in range(3)]
    with Results(path) as results:
        results.add([("a", "r", 0, groups[0]), ("a", "r", 2, groups[1])])
        results.add([("a", "r", 2, groups[1]), ("b", "r", 2, groups[2])])
    with Results(path) as results:
        assert results.load("a", "r") == {0: groups[0], 2: groups[1]}
        assert results.load("b", "r") == {2: groups[2]}
        assert results.load("a", "other") == {}
    remove(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("column", ["measures", "checksum", "number"])
def test_a_damaged_row_is_taken_as_missing_and_may_be_replaced(path, column):
    with Results(path) as results:
        results.add([("a", "r", 0, group_measures(0)), ("a", "r", 1, group_measures(1))])
    database = sqlite3.connect(path)
    value = {"measures": "'{}'", "checksum": "'0'", "number": "7"}[column]
    with database:
        database.execute(f"update units set {column} = {value} where number = 1")
    database.close()
    with Results(path) as results:
        assert results.load("a", "r") == {0: group_measures(0)}
        results.add([("a", "r", 1, group_measures(1))])
        assert results.load("a", "r") == {0: group_measures(0), 1: group_measures(1)}


@pytest.mark.parametrize("damage", ["text", "cut", "holes", "version", "other"])
def test_a_damaged_file_is_refused(path, damage):
    with Results(path) as results:
        results.add([("a", "r", number, group_measures(number)) for number in range(200)])
    content = path.read_bytes()
    if damage == "text":
        path.write_text("these are no results\n" * 100)
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "holes":
        path.write_bytes(content[:4096] + bytes(4096) + content[8192:])
    else:
        path.unlink() if damage == "other" else None
        database = sqlite3.connect(path)
        with database:
            database.execute("create table addresses (name)" if damage == "other" else
                             "pragma user_version = 9")  # fmt: skip
        database.close()
    with pytest.raises(InputError, match=r"results\.sqlite: .*delete the file"):
        Results(path)


def test_a_full_disk_is_told_and_loses_nothing_that_was_there(path):
    with Results(path) as results:
        results.add([("a", "r", 0, group_measures(0))])
        pages = results._database.execute("pragma page_count").fetchone()[0]
        results._database.execute(f"pragma max_page_count = {pages}")
        with pytest.raises(DbpError, match="full"):
            results.add([("a", "r", number, group_measures(1)) for number in range(1, 500)])
        assert results.load("a", "r") == {0: group_measures(0)}


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "results.sqlite").mkdir()
    with pytest.raises(DbpError, match=r"results\.sqlite"):
        Results(tmp_path / "results.sqlite")


def test_numbers_that_are_none_are_not_kept(path):
    with Results(path) as results:
        with pytest.raises(ValueError):
            results.add([("a", "r", 0, replace(group_measures(0), sent_energy=float("nan")))])
        assert results.load("a", "r") == {}


def test_older_groups_go_with_the_first_new_ones_not_before(path):
    with Results(path) as results:
        results.add([("a", "r", number, group_measures(number)) for number in range(3)])
    with Results(path, fresh=True) as results:
        assert results.load("a", "r") == {}
    with Results(path) as results:
        assert len(results.load("a", "r")) == 3
    with Results(path, fresh=True) as results:
        results.add([("a", "r", 7, group_measures(7))])
        results.add([("a", "r", 8, group_measures(8))])
    with Results(path) as results:
        assert results.load("a", "r") == {7: group_measures(7), 8: group_measures(8)}


def test_a_damaged_file_too_stays_until_there_is_something_new(path):
    path.parent.mkdir()
    path.write_text("these are no results\n" * 100)
    with Results(path, fresh=True) as results:
        assert results.load("a", "r") == {} and path.read_text().startswith("these")
        results.add([("a", "r", 0, group_measures(0))])
    with Results(path) as results:
        assert results.load("a", "r") == {0: group_measures(0)}
