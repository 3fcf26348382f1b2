"""Other processors: the same bits, or another identity."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.awgn import AWGN, Plain, power_for

from dbp.datapath import shipped
from dbp.errors import DbpError
from dbp.evaluation import counting, groups
from dbp.evaluation.receivers import FixedReceiver, Reference
from dbp.evaluation.store import Results
from dbp.link import arithmetic, transmission

FIXED = FixedReceiver("fixed", shipped.designs()["learned-c6-s9"])
LINEAR = Reference("linear", AWGN)
SCENARIO = groups.Scenario(AWGN, 0.0, 1)

# A unit of counting: a waveform of a link with Kerr effect, measured as it is received, and behind
# a receiver on torch, with the keys under which each is kept.
UNIT = """
import hashlib, json
from dbp import config
from dbp.evaluation import groups
from dbp.evaluation.measures import effective_snr_db, measure
from dbp.evaluation.receivers import Reference
from dbp.link import transmission

link = config.Link(spans=1, steps_per_span=2, block_symbols=64, nonlinearity_per_w_km=20)
received = transmission.simulate(link, 6.0, 8, seed=1, purpose="evaluate", progress=False)
reference = Reference("dbp1", link)
units = {}
for name, waveform in (("plain", received.waveform), ("dbp1", reference(received.waveform, 6.0))):
    content = hashlib.sha256(waveform.tobytes()).hexdigest()
    measures = repr(measure(link.modulation, received.symbols, received.labels, waveform[:, ::2]))
    units[name] = [content, measures]
keys = {"plain": groups.arithmetic(link)}
keys["dbp1"] = keys["plain"] + groups.receiver_key(reference)
print(json.dumps({name: [keys[name], units[name]] for name in units}))
"""


def unit(folder, **variables):
    """Key and results by receiver, from a process with an empty cache of waveforms."""
    environment = os.environ | {"DBP_CACHE": str(folder)} | variables
    command = [sys.executable, "-c", UNIT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def numpys_dispatched_features():
    from numpy._core import _multiarray_umath as core

    return " ".join(f for f in core.__cpu_dispatch__ if core.__cpu_features__.get(f))


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="switches features of x86-64 off")
def test_other_processors_give_the_same_bits_or_another_identity(tmp_path):
    host = unit(tmp_path / "host")
    # Without fused multiply-adds and long vectors the numbers that our own code computes stay, as
    # they do with the kernels that OpenBLAS has for another processor, in two threads.
    features = "-fma,-avx,-avx2,-avx512f"
    bare = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": features}
    cold = {"NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    blas = {"OPENBLAS_CORETYPE": "Nehalem", "OMP_NUM_THREADS": "2"}
    assert unit(tmp_path / "bare", **bare, **cold, **blas) == host
    others = {
        "numpy": {"NPY_DISABLE_CPU_FEATURES": numpys_dispatched_features()},
        "libm": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2_Usable,-FMA_Usable,-AVX2,-FMA,-FMA4"},
    }
    for name, variables in others.items():
        other = unit(tmp_path / name, **variables)
        for receiver, (key, results) in other.items():
            assert results == host[receiver][1] or key != host[receiver][0], (name, receiver)


def test_a_worker_of_another_arithmetic_is_refused(monkeypatch):
    receivers = [Plain("plain"), LINEAR]
    expected = groups.identity(SCENARIO, receivers)
    monkeypatch.setattr(groups, "of_torch", lambda: "of another")
    with pytest.raises(DbpError, match="the arithmetic of torch of another, not"):
        groups.count(SCENARIO, [LINEAR], 0, expected)
    monkeypatch.setattr(transmission, "arithmetic", lambda link, device="cpu": "of another")
    with pytest.raises(DbpError, match="the arithmetic of numpy and link"):
        groups.count(SCENARIO, [FIXED], 0, expected)


def test_designs_in_fixed_point_do_not_depend_on_torch(monkeypatch):
    keys = [groups.receiver_key(receiver) for receiver in (FIXED, LINEAR, Plain("plain"))]
    expected = groups.identity(SCENARIO, [FIXED])
    monkeypatch.setattr(groups, "of_torch", lambda: "of another")
    others = [groups.receiver_key(receiver) for receiver in (FIXED, LINEAR, Plain("plain"))]
    assert [a == b for a, b in zip(keys, others, strict=True)] == [True, False, False]
    assert groups.identity(SCENARIO, [FIXED]) == expected


@pytest.mark.parametrize("place", ["link", "receiver"])
def test_groups_of_another_arithmetic_are_counted_again(place, tmp_path, monkeypatch):
    scenario = groups.Scenario(AWGN, power_for(AWGN, 11.0), 5)
    transmissions, rule = [(scenario, [Plain("plain")])], counting.Rule(10, 40_000)

    def left_to_count(results):
        return not counting.Scheduler(transmissions, rule, results).done

    with Results(tmp_path / "results.sqlite") as results:
        scheduler = counting.Scheduler(transmissions, rule, results)
        chunk = scheduler.next_chunk()
        counted = groups.count(scenario, chunk.receivers, 0, chunk.work.identity)
        scheduler.add([(chunk, counted)])
        assert not left_to_count(results)
        with monkeypatch.context() as patch:
            if place == "link":
                patch.setattr(transmission, "arithmetic", lambda link, device="cpu": "of another")
            else:
                patch.setattr(groups, "of_torch", lambda: "of another")
            assert left_to_count(results)
        assert not left_to_count(results)


def test_waveforms_of_another_arithmetic_are_simulated_again(monkeypatch):
    simulated = []
    real = transmission._Channel.transmit
    monkeypatch.setattr(
        transmission._Channel,
        "transmit",
        lambda self, *arguments: simulated.append(1) or real(self, *arguments),
    )
    transmission.arithmetic(AWGN)
    simulated.clear()
    for kept in ("here", "there", "here"):
        monkeypatch.setattr(transmission, "arithmetic", lambda link, device, kept=kept: kept)
        transmission.simulate(AWGN, 0.0, 1, seed=1, purpose="evaluate", progress=False)
    assert len(simulated) == 2


def test_the_link_of_another_form_has_another_arithmetic():
    same = AWGN.model_copy(update={"noise_figure_db": 3.0, "spans": 9})
    other = AWGN.model_copy(update={"precision": "complex128"})
    assert transmission.arithmetic(AWGN) == transmission.arithmetic(same)
    assert transmission.arithmetic(AWGN) != transmission.arithmetic(other)


def test_threads_of_torch_change_nothing(tmp_path, monkeypatch):
    long = AWGN.model_copy(update={"block_symbols": 8192})

    def probes(count):
        torch.set_num_threads(count)
        monkeypatch.setenv("DBP_CACHE", str(tmp_path / str(count)))
        found = groups.count(groups.Scenario(long, 0.0, 1), [LINEAR], 0, expected)
        probed = (
            arithmetic.of_torch.__wrapped__(),
            transmission._arithmetic_of_form.__wrapped__(long, "cpu"),
        )
        assert torch.get_num_threads() == count
        return probed, found

    before = torch.get_num_threads()
    expected = groups.identity(groups.Scenario(long, 0.0, 1), [LINEAR])
    try:
        one, several = probes(1), probes(3)
    finally:
        torch.set_num_threads(before)
    assert one == several


def test_a_hash_tells_the_last_bit():
    numbers = np.linspace(0, 1, 7)
    nearby = numbers.copy()
    nearby[3] = np.nextafter(nearby[3], 1)
    assert arithmetic.hash_of_numbers([numbers]) != arithmetic.hash_of_numbers([nearby])
    assert arithmetic.hash_of_numbers([numbers[:3], numbers[3:]]) != arithmetic.hash_of_numbers(
        [numbers]
    )
