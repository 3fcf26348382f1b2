"""What is measured on symbols, against the theory of AWGN and the definitions."""

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import special, stats

from dbp.errors import InputError
from dbp.evaluation.measures import Measures, measure, summarize
from dbp.link import modulation

POINTS = [("qpsk", 6.0), ("16qam", 13.0), ("64qam", 18.0)]


def transmit(name, snr_db, blocks=8, symbols=1024, seed=1, gain=1.0):
    """Sent symbols, labels and received symbols of an AWGN channel."""
    generator = np.random.default_rng(seed)
    sent, labels = modulation.draw(name, blocks * symbols, generator)
    noise = generator.normal(scale=np.sqrt(0.5), size=(sent.size, 2)).view(np.complex128)[:, 0]
    received = gain * (sent + 10 ** (-snr_db / 20) * noise)
    return tuple(part.reshape(blocks, symbols) for part in (sent, labels, received))


def symbol_error_ratio(name, snr):
    """Square QAM over AWGN: Proakis and Salehi, 5th ed., equations 4.3-23 and 4.3-25."""
    side = 2 ** (modulation.bits_per_symbol(name) // 2)
    tail = (1 - 1 / side) * 2 * stats.norm.sf(np.sqrt(3 * snr / (side**2 - 1)))
    return 1 - (1 - tail) ** 2


def information(name, snr):
    """Bits per symbol of the bit-wise decoder over AWGN, by two-dimensional quadrature."""
    points = modulation.constellation(name)
    node, weight = np.polynomial.hermite.hermgauss(40)
    noise = (node[:, None] + 1j * node) / np.sqrt(snr)
    received = points[:, None, None] + noise
    likelihood = np.exp(-snr * np.abs(received[..., None] - points) ** 2)
    label, bits = np.arange(points.size), modulation.bits_per_symbol(name)
    lost = 0.0
    for k in range(bits):
        same = ((label[:, None] ^ label) >> k) & 1 == 0
        ratio = likelihood.sum(-1) / (likelihood * same[:, None, None, :]).sum(-1)
        lost += np.einsum("sij,i,j->", np.log2(ratio), weight, weight) / np.pi / points.size
    return bits - lost


@pytest.mark.parametrize(("name", "snr_db"), POINTS)
def test_awgn_agrees_with_theory(name, snr_db):
    snr = 10 ** (snr_db / 10)
    group = transmit(name, snr_db, blocks=128, gain=0.3 - 2j)
    point = summarize([measure(name, *group)])
    ber = float(modulation.bit_error_ratio_awgn(name, snr))
    symbols = group[0].size
    assert point.ber_low < ber < point.ber_high
    assert point.ber == point.errors / point.bits and point.bits > symbols
    ser = symbol_error_ratio(name, snr)
    assert point.ser == pytest.approx(ser, abs=3 * np.sqrt(ser / symbols))
    # The estimate of a variance from that number of complex samples has a deviation of 0.28 %.
    assert point.snr_db == pytest.approx(10 * np.log10(1 + snr), abs=0.04)
    assert point.evm_percent == pytest.approx(100 / np.sqrt(snr), rel=0.005)
    assert point.gmi_bits == pytest.approx(information(name, snr), abs=0.005)
    q = 10 ** (point.q_db / 20)
    assert special.erfc(q / np.sqrt(2)) / 2 == pytest.approx(point.ber, rel=1e-9)
    if name == "qpsk":
        # A decision between two levels: Q is the root of E_s / N_0.
        assert point.q_db == pytest.approx(snr_db, abs=0.1)


@pytest.mark.parametrize("snr_db", [-3.0, 6.0])
def test_information_at_low_snr_agrees_with_theory(snr_db):
    group = transmit("16qam", snr_db, blocks=64)
    expected = information("16qam", 10 ** (snr_db / 10))
    assert summarize([measure("16qam", *group)]).gmi_bits == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize(("name", "snr_db"), POINTS)
def test_measures_are_their_definitions(name, snr_db):
    """On errors in bursts and outliers, symbol by symbol and over all points of the plane."""
    sent, labels, received = transmit(name, snr_db, symbols=100, gain=2j)
    received[3] *= np.exp(0.5j)
    received[5, :4] = [30, -7j, 0.01 + 0.02j, 100 - 100j]
    found = measure(name, sent, labels, received)
    points, bits = modulation.constellation(name), modulation.bits_per_symbol(name)
    gain = np.vdot(sent, sent) / np.vdot(sent, received)
    aligned = gain * received
    decided = np.abs(aligned[..., None] - points).argmin(-1)
    wrong = [
        sum((int(a) ^ int(b)).bit_count() for a, b in zip(*rows, strict=True))
        for rows in zip(labels, decided, strict=True)
    ]
    variance = np.mean(np.abs(sent - aligned) ** 2)
    exponent = -(np.abs(aligned[..., None] - points) ** 2) / variance
    lost = 0.0
    for k in range(bits):
        same = ((labels[..., None] ^ np.arange(points.size)) >> k) & 1 == 0
        of_sent = special.logsumexp(exponent, axis=-1, b=same)
        lost += np.sum(special.logsumexp(exponent, axis=-1) - of_sent) / np.log(2)
    best = np.vdot(received, sent) / np.vdot(received, received)
    assert found == Measures(
        blocks=8,
        symbols=800,
        bits=800 * bits,
        bit_errors=sum(wrong),
        squared_bit_errors=sum(errors**2 for errors in wrong),
        symbol_errors=int(np.sum(labels != decided)),
        sent_energy=pytest.approx(np.sum(np.abs(sent) ** 2)),
        noise_energy=pytest.approx(np.sum(np.abs(sent - best * received) ** 2)),
        error_energy=pytest.approx(800 * variance),
        information_bits=pytest.approx(800 * bits - lost),
    )
    assert max(wrong) > 5 and lost > 50


def test_groups_add_up_in_any_order():
    groups = [measure("16qam", *transmit("16qam", 12.0, seed=seed)) for seed in range(5)]
    whole = summarize(groups)
    for order in itertools.permutations(groups):
        assert summarize(order) == whole
    rows = json.loads(json.dumps([asdict(group) for group in groups]))
    assert summarize([Measures(**row) for row in rows]) == whole
    assert whole.errors == sum(group.bit_errors for group in groups)
    assert whole.bits == 5 * 8192 * 4
    one = summarize(groups[:1])
    assert one != whole and one.snr_db == pytest.approx(whole.snr_db, abs=0.1)
    assert tuple(asdict(whole)) == (
        *("bits", "errors", "ber", "ber_low", "ber_high", "ser"),
        *("snr_db", "evm_percent", "q_db", "gmi_bits"),
    )


def test_errors_in_few_blocks_widen_the_interval():
    sent, labels, received = transmit("16qam", 15.0, blocks=32)
    received[[3, 20, 21]] = np.roll(received[[3, 20, 21]], 1, -1)
    point = summarize([measure("16qam", sent, labels, received)])
    # Three bursts: from less than a third of their mean number to more than twice.
    assert point.ber_low < point.ber / 3 and point.ber_high > 2 * point.ber


@pytest.mark.parametrize("scale", [1e-160, 1e-3, 1e150])
def test_the_gain_does_not_matter(scale):
    sent, labels, received = transmit("64qam", 18.0)
    plain = asdict(measure("64qam", sent, labels, received))
    scaled = asdict(measure("64qam", sent, labels, received * (scale * np.exp(1j))))
    assert scaled == pytest.approx(plain, rel=1e-9)


def test_a_dead_receiver_conveys_nothing():
    sent, labels, received = transmit("16qam", 10.0)
    silent = measure("16qam", sent, labels, np.zeros_like(received))
    assert silent.information_bits == pytest.approx(0, abs=1e-6)
    point = summarize([silent])
    assert point.ber == pytest.approx(0.5, abs=0.01)
    assert point.snr_db == 0 and point.evm_percent == 100
    # Symbols of somebody else: what is left is one part in the number of symbols.
    other = transmit("16qam", 10.0, seed=2)[2]
    point = summarize([measure("16qam", sent, labels, other)])
    assert 0 <= point.snr_db < 0.01 and 0 <= point.gmi_bits < 0.01
    assert json.dumps(asdict(point), allow_nan=False)


def test_no_q_factor_where_no_error_or_more_than_half():
    sent, labels, received = transmit("qpsk", 30.0)
    assert summarize([measure("qpsk", sent, labels, received)]).q_db is None
    assert summarize([measure("qpsk", sent, labels ^ 3, received)]).q_db is None


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("gain", [1, 3j])
def test_no_noise_has_the_snr_of_the_arithmetic(dtype, gain):
    sent, labels, _ = transmit("64qam", 10.0)
    point = summarize([measure("64qam", sent.astype(dtype), labels, gain * sent.astype(dtype))])
    assert point.errors == 0 == point.ber_low and 0 < point.ber_high < 1e-4
    assert point.snr_db == pytest.approx(156.5, abs=0.1) and point.evm_percent < 1e-5
    assert point.gmi_bits == pytest.approx(6, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(modulation="gaussian"), "has no bits"),
        (dict(labels=np.full((8, 1024), 4, np.uint8)), "labels.*below 4"),
        (dict(labels=np.zeros((8, 1024), int)), "labels.*uint8"),
        (dict(received=np.ones((8, 1023), complex)), "shapes"),
        (dict(sent=np.ones((8, 0)), labels=np.ones((8, 0)), received=np.ones((8, 0))), "shapes"),
        (dict(sent=np.zeros((8, 1024), complex)), "more than 0"),
        (dict(received=np.full((8, 1024), np.inf + 0j)), "finite"),
        # So small that no finite gain brings it back.
        (dict(received=np.full((8, 1024), 1e-320 + 0j)), "finite"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    sent, labels, received = transmit("qpsk", 10.0)
    given = dict(modulation="qpsk", sent=sent, labels=labels, received=received) | change
    with pytest.raises(InputError, match=message):
        measure(*given.values())


def test_one_sample_that_is_no_number_is_refused():
    sent, labels, received = transmit("qpsk", 10.0)
    received[2, 3] = np.nan
    with pytest.raises(InputError, match="finite"):
        measure("qpsk", sent, labels, received)
