"""A link and data so small that learning takes a second."""

from dbp import config
from dbp.link import transmission


def settings(rate, **learned):
    """Four short spans at a power where the Kerr effect counts, as in `test_training`."""
    link = {"spans": 4, "span_km": 60.0, "steps_per_span": 4, "noise_figure_db": 6.0}
    place = {} if "rotations_per_span" in learned else {"rotation_offset_km": 12.0}
    return config.checked(
        {
            "link": link | {"adc_samples_per_symbol": rate, "block_symbols": 240},
            "learned": {"taps": 7, "kerr_taps": 3, **place, **learned},
            "datapath": {"rotation_guard_bits": 1, "centre_power": True},
            "training": {
                "launch_power_dbm": 2.0,
                "symbols": 7680,
                "validation_symbols": 3840,
                "block_symbols": 120,
                "curvature_symbols": 1920,
                "start_iterations": 60,
                "float_iterations": 3,
                "signal_iterations": 1,
                "tap_iterations": 2,
            },
        }
    )


def received(link, settings):
    """A few blocks of the link, to count on."""
    return transmission.simulate(
        link, settings.training.launch_power_dbm, 8, seed=1, purpose="evaluate", progress=False
    )
