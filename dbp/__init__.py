"""Time-domain digital backpropagation for coherent optical receivers, from learning to watts.

`import dbp` is quick: every public name below is loaded when it is first used.

    link = dbp.Link(spans=32)
    design = dbp.Design.load("learned-c6-s9")
    received = link.transmit(launch_power_dbm=0.5, symbols=65_536, seed=1)
    print(dbp.measure(received, design.receive(received)))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Each public name, and the module that holds it.
_HOMES = {
    "Config": "dbp.config",
    "DbpError": "dbp.errors",
    "Design": "dbp.api.design",
    "FloatFilters": "dbp.learning.float_filters",
    "InputError": "dbp.errors",
    "InstancePower": "dbp.api.power",
    "LearnedDesign": "dbp.api.learning",
    "Link": "dbp.api.link",
    "Receiver": "dbp.evaluation.receivers",
    "Recording": "dbp.waveforms.recording",
    "Reference": "dbp.evaluation.receivers",
    "check_receiver": "dbp.evaluation.receivers",
    "detect": "dbp.api.evaluation",
    "equalize_waveform": "dbp.api.waveforms",
    "evaluate": "dbp.api.evaluation",
    "evaluate_waveform": "dbp.api.waveforms",
    "learn": "dbp.api.learning",
    "liberty_files": "dbp.api.power",
    "load_power": "dbp.api.power",
    "load_waveform": "dbp.api.evaluation",
    "measure": "dbp.api.evaluation",
    "plot_constellation": "dbp.api.plots",
    "plot_filters": "dbp.api.plots",
    "plot_learning": "dbp.api.plots",
    "predict_watts": "dbp.api.hardware",
    "prove": "dbp.api.hardware",
    "quantize": "dbp.api.learning",
    "simulate": "dbp.api.hardware",
    "start_filters": "dbp.api.learning",
    "synthesize": "dbp.api.hardware",
}

__all__ = [
    "Config",
    "DbpError",
    "Design",
    "FloatFilters",
    "InputError",
    "InstancePower",
    "LearnedDesign",
    "Link",
    "Receiver",
    "Recording",
    "Reference",
    "__version__",
    "check_receiver",
    "detect",
    "equalize_waveform",
    "evaluate",
    "evaluate_waveform",
    "learn",
    "liberty_files",
    "load_power",
    "load_waveform",
    "measure",
    "plot_constellation",
    "plot_filters",
    "plot_learning",
    "predict_watts",
    "prove",
    "quantize",
    "simulate",
    "start_filters",
    "synthesize",
]

if TYPE_CHECKING:
    from dbp.api.design import Design
    from dbp.api.evaluation import detect, evaluate, load_waveform, measure
    from dbp.api.hardware import predict_watts, prove, simulate, synthesize
    from dbp.api.learning import LearnedDesign, learn, quantize, start_filters
    from dbp.api.link import Link
    from dbp.api.plots import plot_constellation, plot_filters, plot_learning
    from dbp.api.power import InstancePower, liberty_files, load_power
    from dbp.api.waveforms import equalize_waveform, evaluate_waveform
    from dbp.config import Config
    from dbp.errors import DbpError, InputError
    from dbp.evaluation.receivers import Receiver, Reference, check_receiver
    from dbp.learning.float_filters import FloatFilters
    from dbp.waveforms.recording import Recording


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dbp' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
