"""``stimulus.npz``: the converter's samples of a received waveform, for the benches.

It lies beside the design, so that simulation and synthesis need neither the link nor torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dbp.datapath import fixed
from dbp.datapath.design import MAX_LAUNCH_POWER_UW, Design
from dbp.datapath.golden import Samples
from dbp.errors import InputError, shown
from dbp.support.files import read_npz, write_npz

MAX_SAMPLES = 1 << 24


@dataclass(frozen=True, eq=False)
class Stimulus:
    """One stream of converter codes, its launch power, and where it comes from.

    ``samples``: I and Q, shape ``(n,)``, ``design.signal_bits`` bits, ``design.samples_per_symbol``
    per symbol; with two polarisations ``(2, n)``, x and y.
    ``config_hash``: the hash of the configuration whose link was simulated.
    """

    samples: Samples
    launch_power_uw: int
    design_hash: str
    config_hash: str
    seed: int

    @property
    def length(self) -> int:
        """The number of samples, of each polarisation."""
        return self.samples.i.shape[-1]

    def save(self, path: str | Path) -> None:
        """Write the file atomically."""
        write_npz(
            path,
            samples_i=self.samples.i.astype(np.int16),
            samples_q=self.samples.q.astype(np.int16),
            launch_power_uw=np.int64(self.launch_power_uw),
            design_hash=np.array(self.design_hash),
            config_hash=np.array(self.config_hash),
            seed=np.int64(self.seed),
        )

    @classmethod
    def load(cls, path: str | Path, design: Design) -> Stimulus:
        """Read the stimulus of ``design``; `InputError` where it does not fit the design."""
        content = read_npz(path)
        expected = {"samples_i", "samples_q", "launch_power_uw", "seed"}
        expected |= {"design_hash", "config_hash"}
        if set(content) != expected:
            raise InputError(f"{path}: fields {shown(sorted(content))}: must be {sorted(expected)}")
        i, q = content["samples_i"], content["samples_q"]
        rows = () if design.polarizations == 1 else (2,)
        fits = i.ndim == len(rows) + 1 and i.shape[:-1] == rows and i.shape == q.shape
        if not fits or not 0 < i.shape[-1] <= MAX_SAMPLES:
            each = "" if design.polarizations == 1 else "(2, n), x and y, of "
            raise InputError(
                f"{path}: samples of shapes {i.shape} and {q.shape}: must be {each}two equal "
                f"lengths of 1..{MAX_SAMPLES}"
            )
        low, high = fixed.code_range(design.signal_bits)
        for name, part in (("samples_i", i), ("samples_q", q)):
            if part.dtype != np.int16 or part.min() < low or part.max() > high:
                raise InputError(f"{path}: {name}: must be int16 within {low}..{high}")
        power, seed = content["launch_power_uw"], content["seed"]
        if any(x.shape != () or x.dtype != np.int64 for x in (power, seed)):
            raise InputError(f"{path}: launch_power_uw and seed must be integers")
        hashes = content["design_hash"], content["config_hash"]
        if any(x.shape != () or x.dtype.kind != "U" for x in hashes):
            raise InputError(f"{path}: design_hash and config_hash must be texts")
        if not 0 <= power <= MAX_LAUNCH_POWER_UW:
            raise InputError(
                f"{path}: launch_power_uw = {power}: must be in 0..{MAX_LAUNCH_POWER_UW}"
            )
        if str(content["design_hash"]) != design.hash:
            raise InputError(
                f"{path}: belongs to the design {str(content['design_hash'])[:12]}, "
                f"not to {design.hash[:12]}: make it again"
            )
        samples = Samples(i.astype(np.int64), q.astype(np.int64))
        return cls(samples, int(power), design.hash, str(content["config_hash"]), int(seed))


# A bench calls its source with the number of samples that it needs and gets at least that many, so
# that no caller of the bench has to know the number.
StimulusSource = Callable[[int], Stimulus]
