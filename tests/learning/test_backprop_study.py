"""Every method of the study in `benchmarks/backprop`, where the answer is known."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.backprop import (
    adjoints,
    categorical,
    estimators,
    implicit,
    layers,
    local,
    saliency,
    study,
)
from benchmarks.backprop import report as reports
from benchmarks.backprop.methods import QUESTIONS, TRIALS
from dbp import config
from dbp.learning import joint_start, least_squares
from dbp.learning.export import export
from dbp.learning.float_model import Detector, Model, to_signal
from dbp.learning.quantized_model import QuantizedModel
from dbp.support.files import write_csv

LEARNED = config.Learned(taps=7, kerr_taps=3)
LINK = config.Link(spans=4)
UNLEARNED = least_squares.unlearned_filters(LEARNED, LINK)
FILTERS = joint_start.resized(UNLEARNED, (7,) * 5, LEARNED.kerr_taps)
RANDOM = np.random.default_rng(0)
WAVEFORM = RANDOM.normal(0, 0.5**0.5, (2, 64, 2)).view(np.complex128)[..., 0]
SENT = torch.from_numpy(RANDOM.normal(size=(32, 2, 2)).view(np.complex128)[..., 0]).to(
    torch.complex64
)
DETECTOR = Detector(0.1, 64)
POWER = 2.0


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gradient(model, receive, x):
    loss = DETECTOR.loss(receive(x), SENT)
    found = torch.autograd.grad(loss, (model.half_taps, model.kerr), allow_unused=True)
    zeros = torch.zeros_like(model.half_taps), torch.zeros_like(model.kerr)
    return model.parameters_of(*(z if g is None else g for g, z in zip(found, zeros, strict=True)))


def by_layers(model, **changes):
    return lambda x: layers.receive(model, x, POWER, (model.half_taps, model.kerr), **changes)


def assert_near(found, wanted, tolerance=2e-5):
    assert np.linalg.norm(found - wanted) < tolerance * np.linalg.norm(wanted)


def test_layers_one_by_one_have_the_gradient_of_the_chain_in_one_call():
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    assert_near(gradient(model, by_layers(model), x), gradient(model, lambda x: model(x, POWER), x))


@pytest.mark.parametrize("rounded", [True, False])
def test_codes_are_those_of_the_package_to_the_last_bit(rounded):
    datapath = config.Datapath(taylor_order=2, centre_power=True, rotation_guard_bits=1)
    model = QuantizedModel(export(FILTERS, LEARNED, datapath), FILTERS)
    model.rounded = rounded
    x = model.convert(WAVEFORM)
    receive = [
        lambda x: model(x, 2000),
        lambda x: layers.receive_codes(model, x, 2000, estimators.straight, estimators.straight),
    ]
    ours, theirs = (f(x) for f in receive)
    assert torch.equal(ours, theirs)
    ours, theirs = (gradient(model, f, x) for f in receive)
    assert_near(ours, theirs)


def test_slopes_of_quantizers():
    x = torch.tensor([-9.0, -0.3, 0.5, 2.4, 3.6, 9.0], dtype=torch.float64, requires_grad=True)
    rounded = torch.tensor([-4.0, 0.0, 1.0, 2.0, 3.0, 3.0], dtype=torch.float64)
    for quantizer, slope in (
        (estimators.straight, [1.0] * 6),
        (estimators.clipped, [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]),
    ):
        y = quantizer(x, -4, 3)
        assert torch.equal(y, rounded)
        assert torch.autograd.grad(y.sum(), x)[0].tolist() == slope


def test_the_sigmoid_adjusted_slope_is_that_of_a_staircase_of_sigmoids():
    x = torch.linspace(-3, 3, 601, dtype=torch.float64, requires_grad=True)
    thresholds = torch.arange(-8, 8) + 0.5
    for s in (3.0, 10.0):
        staircase = torch.sigmoid(s * (x[:, None] - thresholds)).sum(1)
        (wanted,) = torch.autograd.grad(staircase.sum(), x)
        found = estimators.SigmoidAdjusted(s).derivative(x.detach(), -8, 8)
        assert torch.allclose(found, wanted, atol=1e-4)
        # Its mean over a step is 1: no gradient is lost on the whole.
        assert found[200:300].mean().item() == pytest.approx(1, abs=1e-2)
    assert not estimators.SigmoidAdjusted(3.0).derivative(x.detach(), 20, 30).any()


COSTS = RANDOM.normal(size=(3, 3))


def cost(z):
    return float(COSTS[tuple(z)] + 0.5 * z[0] * z[1])


def exact_gradient(logits):
    """Of E[cost(z)], by the sum over all values of two variables of three categories."""
    p, total = categorical.softmax(logits), np.zeros((2, 3))
    for z in itertools.product(range(3), repeat=2):
        one_hot = np.eye(3)[list(z)]
        total += cost(z) * p[0, z[0]] * p[1, z[1]] * (one_hot - p)
    return total


def test_arsm_is_unbiased():
    logits = np.array([[0.3, -0.5, 0.8], [1.0, 0.0, -0.4]])
    random = np.random.default_rng(1)
    draws = [
        categorical.arsm(cost, logits, categorical.dirichlet(random, (2, 3))) for _ in range(1500)
    ]
    error = np.std(draws, 0) / np.sqrt(len(draws))
    assert (np.abs(np.mean(draws, 0) - exact_gradient(logits)) < 4 * error).all()
    assert error.max() < 0.03


def test_arsm_of_certain_variables_asks_for_one_value():
    asked = []
    logits = np.array([[0.0, 900.0, 0.0]])
    found = categorical.arsm(lambda z: asked.append(z) or 1.0, logits, np.array([[0.2, 0.3, 0.5]]))
    assert len(asked) == 1
    assert not found.any()


def test_local_costs_learn_the_expected_cost_of_each_category():
    random, logits = np.random.default_rng(2), np.array([[0.3, -0.5, 0.8], [1.0, 0.0, -0.4]])
    p, costs = categorical.softmax(logits), categorical.LocalCosts(2, 3, rate=0.01)
    for _ in range(4000):
        z = (random.random((2, 1)) > np.cumsum(p, 1)).sum(1).clip(0, 2)
        costs.learn(z, cost(z))
    # The gradient of a sum of costs of single variables is that of the whole.
    np.testing.assert_allclose(costs.gradient(logits), exact_gradient(logits), atol=0.05)


def test_truncation_at_full_depth_is_the_gradient_and_a_cut_one_its_last_layers():
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    whole = gradient(model, by_layers(model), x)
    cut = adjoints.Truncation(5, 0.1)
    assert np.array_equal(gradient(model, by_layers(model, between=cut), x), whole)
    cut.depth = 2
    found = gradient(model, by_layers(model, between=cut), x)
    taps, own = model.tap_parameters, model.tap_parameters // 5
    assert not found[: 3 * own].any()
    assert np.array_equal(found[3 * own : taps], whole[3 * own : taps])


def test_the_depth_bounds_the_bias_of_geometric_gradients():
    norms = 0.5 ** np.arange(12)
    assert adjoints.decay(norms) == pytest.approx(0.5)
    for tolerance in (0.5, 0.1, 0.01):
        depth = adjoints.truncation_depth(norms, tolerance)
        bias = [norms[k:].sum() / (norms[:k].sum() - norms[k:].sum()) for k in range(2, 12)]
        assert depth == next(k for k, b in enumerate(bias, 2) if b <= tolerance)
    assert adjoints.truncation_depth(np.ones(12), 0.05) == 12


def test_sparse_adjoints_send_the_largest_and_remember_the_rest():
    change = adjoints.MemorizedSparse(0.5, 1.0)
    first, second = torch.tensor([4.0, -1.0, 3.0, 0.5]), torch.tensor([1.0, -3.0, 0.5, 0.25])
    assert change.sparse(first, 1).tolist() == [4.0, 0.0, 3.0, 0.0]
    # The second has what the first left: -1 and 0.5.
    assert change.sparse(second, 1).tolist() == [1.0, -4.0, 0.0, 0.0]
    assert change.sparse(torch.zeros(4), 1).tolist() == [0.0, 0.0, 0.5, 0.75]
    assert not change.sparse(torch.zeros(4), 1).any()
    forgetful = adjoints.MemorizedSparse(0.5, 0.0)
    assert forgetful.sparse(first, 1).tolist() == [4.0, 0.0, 3.0, 0.0]
    assert forgetful.sparse(second, 1).tolist() == [1.0, -3.0, 0.0, 0.0]
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    whole = by_layers(model, between=adjoints.MemorizedSparse(1.0, 1.0))
    assert np.array_equal(gradient(model, whole, x), gradient(model, by_layers(model), x))


def test_backdrop_masks_whole_blocks_or_samples_and_keeps_the_mean():
    ones = torch.ones(2, 500, 20)
    by_block = adjoints.Backdrop(0.5, True, 5, 1).masked(ones)
    assert by_block.mean().item() == pytest.approx(1, abs=1e-5)
    assert (by_block == by_block[:1, :1]).all()
    by_sample = adjoints.Backdrop(0.5, False, 5, 1).masked(ones)
    assert by_sample.mean().item() == pytest.approx(1, abs=1e-5)
    assert 0.4 < (by_sample > 0).float().mean() < 0.6
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    kept = by_layers(model, between=adjoints.Backdrop(1.0, True, 5, 1))
    assert np.array_equal(gradient(model, kept, x), gradient(model, by_layers(model), x))


def test_random_feedback_leaves_the_last_layer_its_gradient():
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    back = adjoints.random_taps(model.half_taps.detach(), 3)
    whole, own = gradient(model, by_layers(model), x), model.tap_parameters // 5
    found = gradient(model, by_layers(model, back=back), x)
    last = slice(4 * own, 5 * own)
    assert np.array_equal(found[last], whole[last])
    assert np.linalg.norm(found[:own] - whole[:own]) > 0.3 * np.linalg.norm(whole[:own])
    norms = model.half_taps.detach().square().sum((1, 2))
    assert torch.allclose(back.square().sum((1, 2)), norms)


def test_an_implicit_step_takes_the_gradient_where_it_ends():
    jacobian, errors = RANDOM.normal(size=(4, 30)), RANDOM.normal(size=30)
    for rate in (1e-3, 1.0, 1e6):
        move = implicit.step(jacobian, errors, rate)
        slope_there = jacobian @ (errors + jacobian.T @ move)
        np.testing.assert_allclose(move, -rate * slope_there, rtol=1e-6, atol=1e-9 * rate)
    np.testing.assert_allclose(move, -np.linalg.lstsq(jacobian.T, errors)[0], rtol=1e-5)


def test_errors_of_a_layer_have_the_gradient_of_the_loss():
    model, x = Model(FILTERS), to_signal(WAVEFORM)
    rows, errors = implicit.errors_of_layer(model, x, SENT, POWER, DETECTOR, [2, 6])
    loss = DETECTOR.loss(model(x, POWER), SENT).item()
    whole = gradient(model, lambda x: model(x, POWER), x) / (2 * (1 - loss) ** 2)
    own, taps = model.tap_parameters // 5, model.tap_parameters
    wanted = np.r_[whole[2 * own : 3 * own], whole[taps + 2 : taps + 4]]
    assert_near(rows @ errors, wanted, 1e-3)


def test_local_learning_finds_the_exact_filters_of_a_noiseless_link():
    random = np.random.default_rng(4)
    x = random.normal(0, 0.7, (2, 200, 2)).view(np.complex128)[..., 0]
    for kerr in (np.zeros(0), np.array([-0.05, -0.2])):
        half = random.normal(size=(4, 2)).view(np.complex128)[..., 0]
        target = local.over(local.rotated(x, kerr) if kerr.size else x, half)
        start = half + 0.1, kerr + 0.01
        found, found_kerr = local.fit_layer(x, target, *start)
        np.testing.assert_allclose(found, half, atol=1e-6)
        np.testing.assert_allclose(found_kerr, kerr, atol=1e-6)


def test_fields_without_kerr_are_those_of_linear_compensation():
    from dbp.learning.layout import Layout

    layout = Layout.of(LEARNED, LINK)
    made = local.fields(LINK, layout, WAVEFORM, 0.0)
    omega = 2 * np.pi * np.fft.fftfreq(WAVEFORM.shape[1])
    for field, length in zip(made, np.cumsum(layout.lengths_km), strict=True):
        response = np.exp(-1j * least_squares.dispersion(LINK, length) * omega**2)
        np.testing.assert_allclose(field, np.fft.ifft(np.fft.fft(WAVEFORM) * response), atol=1e-9)
    # A single sample has no neighbours: all phases of a span add up.
    turned = local.fields(LINK, layout, np.ones((1, 1), complex), -0.1)[-1]
    assert np.angle(turned[0, 0]) == pytest.approx(-0.1 * LINK.spans)


def test_saliencies_are_exact_where_the_loss_is_a_quadratic_form():
    root = RANDOM.normal(size=(8, 40))
    matrix, taps = root @ root.T / 40, RANDOM.normal(size=8)
    said = saliency.predictions(taps, np.zeros(8), matrix, 0.0)

    def rise(other):
        return (other - taps) @ matrix @ (other - taps)

    for n in range(4):
        gone = taps.copy()
        gone[2 * n : 2 * n + 2] = 0
        assert rise(gone) == pytest.approx(said["diagonal"][n])
        made_good = saliency.compensated(taps, matrix, 0.0, np.array([n]))
        assert not made_good[2 * n : 2 * n + 2].any()
        assert rise(made_good) == pytest.approx(said["inverse"][n])
    assert saliency.rank_correlation(np.array([1.0, 2, 3]), np.array([2.0, 5, 9])) == 1


def test_every_method_of_a_question_has_as_many_trials():
    for question in QUESTIONS:
        for row in question.rows:
            assert len(row.settings) in (1, TRIALS), row.name
            assert row.settings[0] or len(row.settings) == 1


def test_the_table_has_a_line_per_method_and_case_with_its_interval(tmp_path):
    entry = {
        "question": "taps", "method": "ARSM", "case": [4, 9, 0], "setting": {"rate": 1},
        "snr_db": 20.0, "settled_s": 1.0, "steps": 5, "memory_mib": 2.0,
    }  # fmt: skip
    done = [entry | {"seed": seed, "snr_db": 20.0 + seed} for seed in (0, 1, 2, 3)]
    own = {"method": "jointly, again and again", "setting": {"beam": 0}}
    done += [entry | own | {"seed": seed, "snr_db": 19.5 + seed} for seed in (0, 1, 2, 3)]
    write_csv(tmp_path / "runs.csv", reports.runs(done))
    of_runs = reports.read_runs(tmp_path / "runs.csv")
    assert of_runs == reports.runs(done)
    reference, line = reports.lines(of_runs)
    assert line["snr_db"] == 22.0
    # Student's t of two degrees of freedom, 4.303, times 1 over the root of 3.
    assert line["snr_db_interval"] == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert line["seeds"] == 3
    # On each seed alike: against the same seed there is no spread.
    assert (reference["method"], reference["gain_db"]) == (own["method"], 0.0)
    assert (line["gain_db"], line["gain_db_interval"]) == (0.5, 0.0)
    assert "| ARSM | 22.00 ± 2.48 | +0.50 ± 0.00 | 1.00 | 5 |" in reports.markdown(
        [reference, line]
    )


@pytest.mark.parametrize("size", ["small", "full"])
def test_the_pages_tables_are_those_of_the_runs(size):
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "results" / "backpropagation.md").read_text()
    runs = reports.read_runs(docs / "images" / f"backpropagation-{size}.csv")
    tables = reports.cases(reports.lines(runs))
    assert len(tables) == {"small": 7, "full": 4}[size]
    for table in tables:
        assert reports.markdown(table) in page, reports.title(table[0])


def test_the_full_form_takes_one_case_and_the_settings_of_the_small_one():
    tried = {}
    while left := list(study.missing(tried)):
        for question, row, case, setting, seed in left:
            key = study.key_of(question.name, row.name, case, setting, seed)
            # The last setting of each row is the best.
            tried[key] = {"validated_db": row.settings.index(setting)}
    full = list(study.missing({}, tried))
    assert {seed for *_, seed in full} == set(study.SEEDS)
    assert len(full) == len(study.SEEDS) * sum(len(question.rows) for question in QUESTIONS)
    for question, row, case, setting, _ in full:
        assert case == question.cases[question.tuned]
        assert setting == row.settings[-1]
