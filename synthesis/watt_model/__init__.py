"""Watts and square millimetres of a whole receiver from its design alone, in milliseconds.

A step is counted (`counts`), and each count has an energy and an area that were fitted to
synthesised steps (`fit`), which are kept in ``steps.csv`` with where they are from. So a prediction
is as `dbp.synthesis.whole_receiver.estimate` would say, without a tool: `predict`.
``docs/concepts/watt_model.md`` says how near it comes.
"""

from dbp.synthesis.watt_model.prediction import Prediction, predict

__all__ = ["Prediction", "predict"]
