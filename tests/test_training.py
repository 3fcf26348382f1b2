import csv

import numpy as np
import pytest
import torch

from dbp import ber, config, link, rounding, training
from dbp.filters import FloatFilters
from dbp.model import Detector, Model, to_signal

# Four short spans at a power where the Kerr effect counts: learned in seconds.
SMALL = config.Config(
    link=config.Link(spans=4, span_km=60.0, steps_per_span=4, noise_figure_db=6.0),
    baseline=config.Baseline(taps=9, out_of_band_gain=0.8),
    learned=config.Learned(taps=9, coefficient_bits=6, signal_bits=9, rotation_offset_km=12.0),
    training=config.Training(
        launch_power_dbm=2.0,
        symbols=8192,
        validation_symbols=4096,
        block_symbols=128,
        batch_blocks=16,
        start_iterations=100,
        float_iterations=60,
        quantized_iterations=60,
    ),
)


@pytest.fixture(scope="module")
def learned():
    return training.train(SMALL)


def test_learning_beats_its_start_and_the_baseline(learned):
    figures = learned.figures
    assert set(figures) == {
        *("launch_power_dbm", "snr_db_baseline", "snr_db_float", "snr_db_quantized")
    }
    floats = [row.snr_db for row in learned.history if row.phase == "float"]
    assert figures["snr_db_float"] == floats[-1]
    start = training.train(
        SMALL.model_copy(
            update={
                "training": SMALL.training.model_copy(
                    update={"float_iterations": 0, "quantized_iterations": 0}
                )
            }
        )
    )
    assert figures["snr_db_float"] > start.figures["snr_db_float"] + 0.1
    assert figures["snr_db_quantized"] > start.figures["snr_db_quantized"] + 0.1
    assert figures["snr_db_quantized"] > figures["snr_db_baseline"] + 0.5
    assert figures["snr_db_quantized"] > figures["snr_db_float"] - 3


def test_the_design_reaches_what_training_says_on_unseen_data(learned):
    """By golden, streaming, on seeds of evaluation: nothing of training is shared."""
    receivers = [
        ber.FixedReceiver("fixed", learned.design),
        ber.FloatReceiver("float", learned.filters),
    ]
    points = ber.evaluate(receivers, SMALL.link, [2.0], min_errors=10**6, max_bits=200_000, seed=1)
    for point, key in zip(points, ("snr_db_quantized", "snr_db_float"), strict=True):
        assert point["snr_db"] == pytest.approx(learned.figures[key], abs=0.25)


def test_same_seed_same_result(learned):
    again = training.train(SMALL)
    assert again.design == learned.design
    assert again.figures == learned.figures
    assert again.history == learned.history
    other = training.train(SMALL.model_copy(update={"seed": 2}))
    assert other.design.hash != learned.design.hash


def test_history_is_written(learned, tmp_path):
    learned.write_history(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["iteration", "phase", "taps", "loss", "snr_db"]
    assert [row["phase"] for row in rows] == ["float", "float", "signals", "signals", "rotations"]
    assert [int(row["iteration"]) for row in rows] == [50, 60, 110, 114, 120]


def test_baseline_is_the_least_squares_design():
    design, floats = training.baseline(SMALL)
    assert [f.taps for f in design.filters] == [9, 9, 9, 9, 1]
    assert design.filters[0] == design.filters[3]
    assert design.name == "baseline-c9-s9"
    scale = 2.0 ** design.filters[0].shift
    np.testing.assert_allclose(
        np.array(design.filters[0].half_taps_i) / scale, floats.taps[0].real[:5], atol=0.5 / scale
    )


def test_rounding_together_beats_rounding_alone():
    rng = np.random.default_rng(0)
    # Many directions that matter and as many that hardly do, as filters of a chain have them.
    basis, _ = np.linalg.qr(rng.normal(size=(120, 120)))
    matrix = (basis * np.logspace(2, -6, 120)) @ basis.T
    taps, steps = rng.uniform(-0.4, 0.4, 120), np.full(120, 2.0**-6)
    low, high = np.full(120, -32.0), np.full(120, 31.0)

    def cost(x):
        return (x - taps) @ matrix @ (x - taps)

    alone = np.floor(taps / steps + 0.5) * steps
    together = rounding.round_together(taps, matrix, steps, (low, high))
    codes = together / steps
    assert np.array_equal(codes, np.rint(codes))
    assert codes.min() >= -32 and codes.max() <= 31
    assert cost(together) < cost(alone) / 10


@pytest.mark.parametrize("error", [0.0, 0.03])
def test_gauss_newton_predicts_the_effect_of_small_moves(error):
    rng = np.random.default_rng(1)
    halves = [rng.normal(0, 0.3, (3, 2)).view(np.complex128)[:, 0] for _ in range(3)]
    chain = FloatFilters(
        tuple(np.concatenate((h, h[-2::-1])) for h in halves),
        np.array([[0.02, -0.1], [0.01, -0.1]]),
    )
    x = to_signal(rng.normal(size=(4, 128, 2)).view(np.complex128)[..., 0])
    detector, model = Detector(0.1, 128), Model(chain)
    parameters = model.half_taps, model.kerr
    with torch.no_grad():
        # Symbols near the received ones as reference: little error, little but curvature.
        sent = detector.symbols(model(x, 1.0))
        noise = rng.normal(0, error, (*sent.shape, 2)).astype(np.float32)
        sent += torch.view_as_complex(torch.from_numpy(noise)) * sent.abs().square().mean().sqrt()
        matrix, slope = rounding.gauss_newton(model, 1.0, x, sent, detector)
        before = detector.loss(model(x, 1.0), sent).item()
        moves = [torch.from_numpy(rng.normal(0, 2e-3, p.shape)) for p in parameters]
        for parameter, move in zip(parameters, moves, strict=True):
            parameter += move
        after = detector.loss(model(x, 1.0), sent).item()
    move = np.concatenate([m.numpy().ravel() for m in moves])
    assert matrix.shape == (move.size, move.size) and move.size == 3 * 3 * 2 + 4
    predicted = before + 2 * move @ slope + move @ matrix @ move
    assert after - before == pytest.approx(predicted - before, rel=0.1)


def test_data_come_from_purposes_that_evaluation_does_not_share(monkeypatch):
    purposes = set()
    simulate = link.simulate

    def spy(*args, **kwargs):
        purposes.add(kwargs["purpose"])
        return simulate(*args, **kwargs)

    monkeypatch.setattr(link, "simulate", spy)
    quick = SMALL.training.model_copy(
        update={"float_iterations": 1, "quantized_iterations": 1, "start_iterations": 1}
    )
    training.train(SMALL.model_copy(update={"training": quick}))
    assert purposes == {"train", "validate"}
