"""The methods of the study, each a generator: every `next` is a step of learning.

A method is given a `Run` and a setting, moves the parameters of ``run.model``, and yields after
each step. The runner stops the clock, looks at the parameters, and ends the method when its
processor time is spent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.backprop import adjoints, categorical, estimators, implicit, layers, local
from benchmarks.backprop.task import BATCH_BLOCKS, Task, Vector
from dbp.learning import digit_rounding, gauss_newton, integer_rounding
from dbp.learning.descent import Adam
from dbp.learning.float_filters import FloatFilters
from dbp.learning.float_model import Model
from dbp.learning.layout import Layout
from dbp.learning.quantized_model import QuantizedModel
from dbp.link.closed_forms import kerr_rad_per_w

Setting = Mapping[str, float]
Batch = tuple[Tensor, Tensor]


@dataclass
class Run:
    """What a method works on. ``progress``: share of the processor time that is spent."""

    task: Task
    model: Model | QuantizedModel
    seed: int
    progress: Callable[[], float]

    @property
    def parameters(self) -> Vector:
        return self.model.parameters_of(self.model.half_taps, self.model.kerr)

    @parameters.setter
    def parameters(self, values: Vector) -> None:
        self.model.set_parameters(values)

    @property
    def scales(self) -> Vector:
        """The size of a step of each parameter: of the codes in fixed point, else 1; of Kerr."""
        scales = self.task.objective(self.model, self.task.train).scales
        if isinstance(self.model, QuantizedModel) and self.model.rounded:
            scales[: self.model.tap_parameters] = self.model.taps_of(self.model.steps)
        return scales


Method = Callable[[Run, Setting], Iterator[None]]


def descend(
    run: Run, rate: float, gradient: Callable[[Tensor, Tensor], Vector], blocks: int = BATCH_BLOCKS
) -> Iterator[None]:
    """Adam on batches, with a rate that falls to zero by a cosine over the processor time."""
    batches = run.task.batches(run.model, run.seed, blocks)
    scales, limits = run.scales, run.task.limits(run.model)
    adam = Adam(scales.size)
    while True:
        for x, sent in batches:
            now = rate * 0.5 * (1 + math.cos(math.pi * min(run.progress(), 1.0)))
            slope = np.nan_to_num(scales * gradient(x, sent), posinf=0.0, neginf=0.0)
            run.parameters = np.clip(run.parameters + now * scales * adam.move(slope), *limits)
            yield


def _gradient(run: Run, receive: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Vector]:
    """The gradient of the loss of a batch, through ``receive``."""
    parameters = run.model.half_taps, run.model.kerr

    def gradient(x: Tensor, sent: Tensor) -> Vector:
        loss = run.task.detector.loss(receive(x), sent)
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(found, parameters, strict=True)
        return run.model.parameters_of(*(torch.zeros_like(p) if g is None else g for g, p in pairs))

    return gradient


# In floating point.


def gauss_newton_steps(run: Run, setting: Setting) -> Iterator[None]:
    """The package's own: `dbp.learning.gauss_newton`."""
    objective = run.task.objective(run.model, run.task.train)
    damping, limits = setting["damping"], run.task.limits(run.model)
    free = np.ones(objective.parameters.size, bool)
    iteration = 0
    while True:
        blocks = min(int(setting["blocks"]), objective.blocks)
        curvature = run.task.curvature(objective, iteration, blocks)
        _, damping = gauss_newton.iterate(objective, curvature, damping, free, limits)
        iteration += 1
        yield


def adam_in_one_call(run: Run, setting: Setting) -> Iterator[None]:
    """Adam on the package's compiled chain."""
    power = run.task.power_mw
    yield from descend(run, setting["rate"], _gradient(run, lambda x: run.model(x, power)))


def _layered(run: Run, **changes: object) -> Callable[[Tensor], Tensor]:
    """The chain of a float model layer by layer, some of its adjoint changed."""
    model, power = run.model, run.task.power_mw
    return lambda x: layers.receive(model, x, power, (model.half_taps, model.kerr), **changes)


def adam_by_layers(run: Run, setting: Setting) -> Iterator[None]:
    """Adam on the chain layer by layer: the control of all that changes an adjoint."""
    yield from descend(run, setting["rate"], _gradient(run, _layered(run)))


def truncated(run: Run, setting: Setting) -> Iterator[None]:
    """Adam on gradients of the last layers only: `adjoints.Truncation`.

    ``layers`` of a setting is a fixed depth; without, ``tolerance`` bounds the bias, and the depth
    is chosen anew from a full gradient every 50 steps.
    """
    count = len(run.model.half_taps)
    cut = adjoints.Truncation(count, setting.get("tolerance", 0.0))
    fixed = int(setting.get("layers", 0))
    cut.depth = fixed or count
    inner, number = _gradient(run, _layered(run, between=cut)), 0

    def gradient(x: Tensor, sent: Tensor) -> Vector:
        nonlocal number
        adapts = not fixed and number % 50 == 0
        number += 1
        if adapts:
            cut.depth = count
        found = inner(x, sent)
        if adapts:
            taps = found[: run.model.tap_parameters]
            ends = np.cumsum(2 * run.model.halves)[:-1]
            norms = [np.linalg.norm(part) for part in np.split(taps, ends)]
            cut.adapt(np.array(norms[::-1]))
        return found

    yield from descend(run, setting["rate"], gradient)


def sparse(run: Run, setting: Setting) -> Iterator[None]:
    """Adam on all data at once through `adjoints.MemorizedSparse`."""
    change = adjoints.MemorizedSparse(setting["share"], setting["memory"])
    gradient = _gradient(run, _layered(run, between=change))
    yield from descend(run, setting["rate"], gradient, run.task.blocks)


def masked(run: Run, setting: Setting) -> Iterator[None]:
    """Adam through `adjoints.Backdrop`."""
    last = len(run.model.half_taps)
    drop = adjoints.Backdrop(setting["keep"], bool(setting["by_block"]), last, run.seed)
    yield from descend(run, setting["rate"], _gradient(run, _layered(run, between=drop)))


def random_feedback(run: Run, setting: Setting) -> Iterator[None]:
    """Adam through `adjoints.random_taps`."""
    back = adjoints.random_taps(run.model.half_taps.detach(), run.seed)
    yield from descend(run, setting["rate"], _gradient(run, _layered(run, back=back)))


def implicit_steps(run: Run, setting: Setting) -> Iterator[None]:
    """`implicit.step` of one layer after the other, in random order, each on a batch."""
    batches = run.task.batches(run.model, run.seed)
    random = np.random.default_rng(run.seed)
    scales, limits, number = run.scales, run.task.limits(run.model), 0
    count, taps = len(run.model.half_taps), run.model.tap_parameters
    first = np.r_[0, np.cumsum(2 * run.model.halves)]
    first_kerr = taps + np.r_[0, np.cumsum(run.model.kerr_halves)]
    while True:
        for layer in random.permutation(count):
            x, sent = batches[number % len(batches)]
            number += 1
            entries = [layer] + ([count + layer - 1] if layer else [])
            index = np.arange(first[layer], first[layer + 1])
            if layer:
                index = np.r_[index, first_kerr[layer - 1] : first_kerr[layer]]
            power, detector = run.task.power_mw, run.task.detector
            found = implicit.errors_of_layer(run.model, x, sent, power, detector, entries)
            move = implicit.step(found[0] * scales[index, None], found[1], setting["rate"])
            values = run.parameters
            values[index] += scales[index] * move
            run.parameters = np.clip(values, *limits)
            yield


def _local_filters(run: Run, setting: Setting) -> FloatFilters:
    task, filters = run.task, run.model.filters()
    waveform = task.train.waveform[:BATCH_BLOCKS]
    kerr = -kerr_rad_per_w(task.link) * task.power_mw * 1e-3
    layout = Layout.of(task.settings.learned, task.link)
    targets = local.fields(task.link, layout, waveform, kerr)
    own_input = bool(setting["own_input"])
    return local.learn(filters, waveform, targets, task.power_mw, setting["ridge"], own_input)


def local_learning(run: Run, setting: Setting) -> Iterator[None]:
    """`local.learn`, once: there is nothing to go on with."""
    model = Model(_local_filters(run, setting))
    run.parameters = model.parameters_of(model.half_taps, model.kerr)
    yield


def local_start(run: Run, setting: Setting) -> Iterator[None]:
    """Gauss-Newton from `local_learning`."""
    yield from local_learning(run, setting)
    yield from gauss_newton_steps(run, {"damping": 1e-2, "blocks": 16})


# In fixed point, taps rounded.


def nearest(run: Run, setting: Setting) -> Iterator[None]:
    """Each tap rounded by itself."""
    run.model.rounded = True
    yield


def jointly(run: Run, setting: Setting) -> Iterator[None]:
    """All taps rounded together, once."""
    run.task.round_jointly(run.model)
    yield


def jointly_again(run: Run, setting: Setting) -> Iterator[None]:
    """The package's own: taps rounded together, Kerr constants moved, and so on.

    As `dbp.learning.training` does. ``beam`` of a setting: the codes are then searched by
    `dbp.learning.digit_rounding`, which carries many partial codes in place of one and decides
    parts of the taps anew.
    """
    task, model = run.task, run.model
    objective = task.objective(model, task.train)
    taps = np.arange(objective.parameters.size) < model.tap_parameters
    steps, *ends = map(model.taps_of, (model.steps, model.lowest, model.highest))
    damping, best, limits, iteration = setting["damping"], math.inf, task.limits(model), 0
    best_at = objective.parameters
    while True:
        curvature = task.curvature(objective, iteration)
        matrix = curvature[np.ix_(taps, taps)]
        values = objective.parameters
        target = values[taps]
        if model.rounded:
            damped = matrix + damping * np.eye(len(matrix))
            target = target - np.linalg.solve(damped, objective.slope()[taps])
        rounded = integer_rounding.round_together(target, matrix, steps, ends)
        if setting["beam"]:
            rounded = digit_rounding.at_no_price(target, matrix, steps, ends, rounded)
        values[taps] = rounded
        objective.parameters, model.rounded = values, True
        loss, _ = gauss_newton.iterate(objective, curvature, gauss_newton.DAMPING, ~taps, limits)
        iteration += 1
        yield
        if loss < best:
            best, best_at = loss, objective.parameters
        else:
            damping *= setting["firmer"]
            objective.parameters = best_at


def straight_through(run: Run, setting: Setting, estimator: str) -> Iterator[None]:
    """Adam on taps and Kerr constants, rounded in the forward pass, from the joint rounding.

    ``rate`` is in steps of the taps' codes where they are rounded. The sigmoid's slope grows from 2
    to ``slope``. Without an ``estimator``, plain straight through by the package's compiled chain.
    """
    quantizers = {"plain": estimators.straight, "clipped": estimators.clipped}
    sigmoid = estimators.SigmoidAdjusted(2.0)
    quantizer = quantizers.get(estimator, sigmoid)
    power = run.task.power_uw

    def receive(x: Tensor) -> Tensor:
        sigmoid.slope = 2.0 * (setting.get("slope", 2.0) / 2.0) ** min(run.progress(), 1.0)
        if not estimator:
            return run.model(x, power)
        return layers.receive_codes(run.model, x, power, quantizer, quantizer)

    yield from descend(run, setting["rate"], _gradient(run, receive))


def _from_joint(run: Run) -> tuple[Vector, Vector, list[Vector]]:
    """Round jointly; which parameters are taps, their steps, and their lowest and highest codes."""
    run.task.round_jointly(run.model)
    model = run.model
    taps = np.arange(run.parameters.size) < model.tap_parameters
    steps, *ends = map(model.taps_of, (model.steps, model.lowest, model.highest))
    return taps, steps, ends


def rounded_straight_through(run: Run, setting: Setting, estimator: str) -> Iterator[None]:
    """`straight_through` from the joint rounding."""
    _from_joint(run)
    yield
    yield from straight_through(run, setting, estimator)


def drawn(run: Run, setting: Setting, estimator: str) -> Iterator[None]:
    """Every code drawn among its joint rounding, one less and one more; probabilities are learned.

    ``estimator``: "arsm" or "local costs". What is shown after a step are the likeliest codes.
    ``sure``: the first logit of the joint rounding.
    """
    taps, steps, ends = _from_joint(run)
    yield
    model, power, detector = run.model, run.task.power_uw, run.task.detector
    batches = run.task.batches(model, run.seed)
    start, random = run.parameters, np.random.default_rng(run.seed)
    codes = np.rint(start[taps] / steps)
    logits = np.zeros((len(codes), 3))
    logits[:, 1] = setting["sure"]
    adam, costs = Adam(logits.size), categorical.LocalCosts(*logits.shape, rate=setting["memory"])

    def put(z: np.ndarray) -> None:
        values = start.copy()
        values[taps] = np.clip(codes + z - 1, *ends) * steps
        run.parameters = values

    first: float | None = None
    while True:
        for x, sent in batches:

            def f(z: np.ndarray, x: Tensor = x, sent: Tensor = sent) -> float:
                nonlocal first
                put(z)
                with torch.no_grad():
                    loss = detector.loss(model(x, power), sent).item()
                first = first or loss
                return loss / first

            if estimator == "arsm":
                uniform = categorical.dirichlet(random, logits.shape)
                gradient = categorical.arsm(f, logits, uniform)
            else:
                p = categorical.softmax(logits)
                z = (random.random((len(p), 1)) > np.cumsum(p, 1)).sum(1).clip(0, 2)
                costs.learn(z, f(z))
                gradient = costs.gradient(logits)
            logits += setting["rate"] * adam.move(gradient.ravel()).reshape(logits.shape)
            put(np.argmax(logits, axis=1))
            yield


def random_moves(run: Run, setting: Setting) -> Iterator[None]:
    """One or two codes moved by a step at random, kept where the loss falls: the control."""
    taps, steps, ends = _from_joint(run)
    yield
    objective = run.task.objective(run.model, run.task.train)
    random, least = np.random.default_rng(run.seed), objective.loss()
    while True:
        values = objective.parameters
        count = 1 + (random.random() < setting["pairs"])
        moved = random.choice(int(taps.sum()), count, replace=False)
        before = values[moved].copy()
        codes = np.rint(before / steps[moved]) + random.choice([-1, 1], count)
        values[moved] = np.clip(codes, ends[0][moved], ends[1][moved]) * steps[moved]
        objective.parameters = values
        if (loss := objective.loss()) < least:
            least = loss
        else:
            values[moved] = before
            objective.parameters = values
        yield
