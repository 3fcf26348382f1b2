"""A small link to learn on, and a run of learning that is killed."""

import pytest

from dbp import config
from dbp.learning import training
from dbp.learning.checkpoint import State

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
        curvature_symbols=2048,
        start_iterations=100,
        float_iterations=4,
        signal_iterations=2,
        tap_iterations=3,
    ),
)


def changed(**training_):
    return SMALL.model_copy(update={"training": SMALL.training.model_copy(update=training_)})


def train_and_be_killed(settings, checkpoint, after, monkeypatch):
    """Train, and end when that number of steps is done and written."""
    save = State.save

    def save_and_die(state, path):
        save(state, path)
        if len(state.history) == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(State, "save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            training.train(settings, checkpoint)
