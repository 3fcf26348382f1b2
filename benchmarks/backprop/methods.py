"""The rows of the study: each method with the settings that are tried for it, as many for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from benchmarks.backprop import learners
from benchmarks.backprop.learners import Method, Setting

# Settings that are tried of every method that has any; the best goes on to the seeds.
TRIALS = 4


class Row(NamedTuple):
    """A method of a question.

    ``largest_tap`` of a setting is that of the filters it begins at, ``fill`` whether they are
    turned and scaled to fill the codes of their taps.
    """

    name: str
    method: Method
    settings: Sequence[Setting]


class Question(NamedTuple):
    """Methods that are compared, in floating point or with bits of taps and of signals.

    ``cases``: (tap bits, signal bits, training symbols) of each comparison; 0 tap bits are taps
    that are not rounded, 0 signal bits floating point, 0 symbols all there are. Settings are tried
    in the case ``tuned``.
    """

    name: str
    rows: Sequence[Row]
    cases: Sequence[tuple[int, int, int]]
    tuned: int = 0


def _rates(*rates: float, **others: float) -> list[Setting]:
    return [{"rate": rate, **others} for rate in rates]


RATES = 3e-4, 1e-3, 3e-3, 1e-2
ADAM = _rates(*RATES)
GAUSS_NEWTON = [{"damping": d, "blocks": b} for d in (1e-3, 1e-2) for b in (8, 16)]
LOCAL = [{"ridge": r, "own_input": o} for r in (0.0, 1e-4) for o in (0, 1)]
BACKDROP = [{"rate": r, "keep": k} for r in (1e-3, 3e-3) for k in (0.25, 0.5)]


def _backdrop(by_block: int) -> list[Setting]:
    return [{**setting, "by_block": by_block} for setting in BACKDROP]


FLOAT = (
    Row("Gauss-Newton", learners.gauss_newton_steps, GAUSS_NEWTON),
    Row("Adam, chain in one call", learners.adam_in_one_call, ADAM),
    Row("Adam, layer by layer", learners.adam_by_layers, ADAM),
    Row("implicit steps of layers", learners.implicit_steps, _rates(1.0, 10.0, 100.0, 1000.0)),
    Row("sparse adjoint 10 %, memory", learners.sparse, _rates(*RATES, share=0.1, memory=1.0)),
    Row("sparse adjoint 10 %", learners.sparse, _rates(*RATES, share=0.1, memory=0.0)),
    Row("sparse adjoint 2 %, memory", learners.sparse, _rates(*RATES, share=0.02, memory=1.0)),
    Row("sparse adjoint 2 %", learners.sparse, _rates(*RATES, share=0.02, memory=0.0)),
    Row(
        "truncated by its bias",
        learners.truncated,
        [{"rate": r, "tolerance": t} for r in (1e-3, 3e-3) for t in (0.3, 0.9)],
    ),
    Row("last third of the layers", learners.truncated, _rates(*RATES, layers=3)),
    Row("random feedback", learners.random_feedback, _rates(1e-5, 1e-4, 1e-3, 1e-2)),
    Row("layers by themselves", learners.local_learning, LOCAL),
    Row("layers, then Gauss-Newton", learners.local_start, LOCAL),
    Row("Backdrop of blocks", learners.masked, _backdrop(1)),
    Row("Backdrop of samples", learners.masked, _backdrop(0)),
)

STEPS = 0.03, 0.1, 0.3, 1.0
SLOPES = [{"rate": r, "slope": s} for r in (0.1, 0.3) for s in (4.0, 10.0)]
AGAIN = [{"damping": d, "firmer": f} for d in (3e-3, 3e-2) for f in (2.0, 4.0)]
DRAWN = [{"rate": r, "sure": s, "memory": 0.05} for r in (0.03, 0.2) for s in (4.0, 6.0)]
_straight, _drawn = learners.rounded_straight_through, learners.drawn


def _again(**others: float) -> list[Setting]:
    return [{**setting, **others} for setting in AGAIN]


TAPS = (
    Row("each tap by itself", learners.nearest, [{}]),
    Row("jointly, once", learners.jointly, [{}]),
    Row("jointly, again and again", learners.jointly_again, _again(beam=0)),
    Row("the same by a wide search", learners.jointly_again, _again(beam=1)),
    Row(
        "the same, taps below 0.47",
        learners.jointly_again,
        _again(beam=1, largest_tap=0.4686),
    ),
    Row("jointly again, codes filled", learners.jointly_again, _again(beam=0, fill=1)),
    Row("the same by a wide search, codes filled", learners.jointly_again, _again(beam=1, fill=1)),
    Row("straight through, chain in one call", partial(_straight, estimator=""), _rates(*STEPS)),
    Row("straight through", partial(_straight, estimator="plain"), _rates(*STEPS)),
    Row("straight through, clipped", partial(_straight, estimator="clipped"), _rates(*STEPS)),
    Row("sigmoid-adjusted", partial(_straight, estimator="sigmoid"), SLOPES),
    Row("ARSM", partial(_drawn, estimator="arsm"), DRAWN),
    Row("learned local costs", partial(_drawn, estimator="local costs"), DRAWN),
    Row(
        "random moves",
        learners.random_moves,
        [{"pairs": p} for p in (0.0, 0.33, 0.67, 1.0)],
    ),
)

_signals = learners.straight_through
SIGNALS = (
    Row("Gauss-Newton", learners.gauss_newton_steps, GAUSS_NEWTON),
    Row("straight through, chain in one call", partial(_signals, estimator=""), ADAM),
    Row("straight through", partial(_signals, estimator="plain"), ADAM),
    Row("straight through, clipped", partial(_signals, estimator="clipped"), ADAM),
    Row(
        "sigmoid-adjusted",
        partial(_signals, estimator="sigmoid"),
        [{"rate": r, "slope": s} for r in (3e-4, 1e-3) for s in (4.0, 10.0)],
    ),
)

FEW = tuple(
    row for row in FLOAT if row.name.startswith(("Gauss", "Adam, layer", "Backdrop", "layers by"))
)

QUESTIONS = (
    Question("float", FLOAT, [(0, 0, 0)]),
    Question("taps", TAPS, [(4, 9, 0), (3, 9, 0), (5, 9, 0)]),
    Question("signals", SIGNALS, [(0, 7, 0), (0, 6, 0)]),
    Question("few data", FEW, [(0, 0, 2048)]),
)
