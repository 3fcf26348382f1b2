"""Steps of candidates on an executor: each once, kept, and never taken from a damaged file."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbp import config
from dbp.datapath import shipped
from dbp.errors import DbpError
from dbp.exploration import tasks, work
from dbp.exploration.store import Store
from dbp.exploration.tasks import Learned, Price, PriceList

DESIGN = shipped.designs()["learned-c6-s9"]


@pytest.fixture
def calls(monkeypatch):
    """The steps in place of learning; what they were asked for."""
    calls = []

    def learn_floats(settings, expected):
        calls.append(("floats", settings.learned.taps))
        return b"%d" % settings.learned.taps

    def learn_design(settings, floats, expected):
        assert floats == b"%d" % settings.learned.taps
        calls.append(("design", settings.learned.taps, settings.learned.coefficient_bits))
        if settings.learned.coefficient_bits == 2:
            return Learned(failed="worse than linear compensation").to_bytes()
        snr_db = float(settings.learned.coefficient_bits)
        content = {"design": DESIGN.to_json(), "failed": None}
        return json.dumps(content | {"snr_db_float": 1.0, "snr_db": snr_db}).encode()

    def of(content):
        text = json.loads(content) if content[:1] == b"{" else None
        if text is None:
            return original(content)
        design = dataclasses.replace(DESIGN, adc_rms_permille=100 + int(text["snr_db"]))
        return Learned(design, None, text["snr_db_float"], text["snr_db"])

    original = Learned.of
    monkeypatch.setattr(tasks, "learn_floats", learn_floats)
    monkeypatch.setattr(tasks, "learn_design", learn_design)
    monkeypatch.setattr(Learned, "of", of)
    return calls


def priced(design, settings):
    return Price(2.0, 3.0, float(design.adc_rms_permille), False)


PRICES = PriceList("a", priced)


def outcomes(folder, batch, prices=PRICES):
    with ThreadPoolExecutor(2) as threads:
        shop = work.Workshop(lambda: (threads, lambda: 2), Store(folder), prices)
        return shop.outcomes(batch)


def settings(taps, bits):
    return config.checked({"learned": {"taps": taps, "coefficient_bits": bits}})


BATCH = [settings(9, 5), settings(9, 6), settings(11, 5), settings(9, 5), settings(9, 2)]


def test_filters_are_learned_once_for_all_formats_and_everything_is_kept(calls, tmp_path):
    found = outcomes(tmp_path, BATCH)
    assert [each.learned.snr_db for each in found] == [5.0, 6.0, 5.0, 5.0, None]
    assert [each.price and each.price.pj_per_bit for each in found] == [105, 106, 105, 105, None]
    assert found[4].failed == "worse than linear compensation"
    assert sorted(calls) == [
        *(("design", 9, 2), ("design", 9, 5), ("design", 9, 6), ("design", 11, 5)),
        *(("floats", 9), ("floats", 11)),
    ]
    calls.clear()
    assert outcomes(tmp_path, BATCH) == found and not calls
    dearer = PriceList("b", lambda design, settings: Price(2.0, 3.0, 7.0, True))
    assert outcomes(tmp_path, BATCH[:1], dearer)[0].price.extrapolates and not calls


def test_what_is_damaged_is_computed_again(calls, tmp_path):
    found = outcomes(tmp_path, BATCH)
    calls.clear()
    for file in tmp_path.iterdir():
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        file.write_bytes(content)
    assert outcomes(tmp_path, BATCH) == found
    assert len(calls) == 6


def test_a_search_that_is_stopped_anywhere_goes_on_where_it_was(calls, tmp_path, monkeypatch):
    found = outcomes(tmp_path / "whole", BATCH)
    whole, runs = len(calls), 0
    calls.clear()
    add = Store.add
    while True:
        left = [1]  # one step each time

        def once(self, kind, key, body, left=left):
            if not left:
                raise KeyboardInterrupt
            left.pop()
            add(self, kind, key, body)

        monkeypatch.setattr(Store, "add", once)
        runs += 1
        try:
            again = outcomes(tmp_path / "stopped", BATCH)
            break
        except KeyboardInterrupt:
            pass
    assert again == found
    # 2 filters, 4 designs, 3 prices; what was under way beside it was lost.
    assert runs >= 5 and whole <= len(calls) <= 2 * (whole + runs)


def test_a_worker_that_would_compute_something_else_refuses(tmp_path):
    expected = tasks.identity() | {"numpy": "0.1"}
    with pytest.raises(DbpError, match=r"would learn something else: it has numpy .*, not 0\.1"):
        tasks.learn_floats(config.Config(), expected)


def test_keys_tell_apart_what_learning_reads_and_nothing_else():
    base = config.Config()
    same = base.model_copy(
        update={"evaluation": config.Evaluation(min_errors=7), "hardware": config.Hardware(lanes=9)}
    )
    assert tasks.key_of_learning(base) == tasks.key_of_learning(same)
    for other in ({"seed": 2}, {"learned": config.Learned(coefficient_bits=5)}):
        changed = base.model_copy(update=other)
        assert tasks.key_of_learning(base) != tasks.key_of_learning(changed)
    learned = Learned(DESIGN)
    slower = base.model_copy(update={"hardware": config.Hardware(clock_mhz=200.0)})
    keys = {
        tasks.key_of_price(learned, each, PriceList(name, priced))
        for each in (base, slower)
        for name in ("a", "b")
    }
    assert len(keys) == 4
