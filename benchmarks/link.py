"""Speed of the forward link beside OptiCommPy's, and the difference of their fields.

    pip install -e .[benchmark]; python benchmarks/link.py

The split-step method on the paper's link, 8 samples per symbol and 50 steps per span, without
noise, on one core: `dbp.link._split_step_kernels` on a chunk of blocks of 512 symbols as
`dbp.link.transmission` has it, OptiCommPy's ``ssfm`` on blocks of 1,024, its best length of 512 to
16,384. Both take turns; the best of all rounds counts, in CPU time. Their steps are of equal length
and ours of equal nonlinear phase, so the fields are compared twice: each with its own steps, and
ours with theirs. Last, `dbp.link.transmission.simulate` with its noise and the default settings,
cached and not.
"""

import os
import tempfile
import time
from importlib.metadata import version
from unittest import mock

import numpy as np
from optic.models.channels import ssfm
from optic.utils import parameters
from scipy.constants import speed_of_light

from dbp import config
from dbp.link import closed_forms, fiber, modulation, transmission
from dbp.link._split_step_kernels import Propagation

STEPS, ROUNDS = 50, 5
LAUNCH_POWER_DBM = 0.0
LINK = config.Link(samples_per_symbol=8, steps_per_span=STEPS, block_symbols=512)


def sent(blocks, block_symbols):
    """Fields at the transmitter in sqrt(W), shape ``(blocks, samples)``."""
    rng = np.random.default_rng(1)
    factor = LINK.samples_per_symbol
    drawn = [modulation.draw(LINK.modulation, block_symbols, rng)[0] for _ in range(blocks)]
    pulse = modulation.root_raised_cosine(LINK.roll_off, factor, block_symbols * factor)
    amplitude = np.sqrt(closed_forms.watts(LAUNCH_POWER_DBM)) * factor
    return np.fft.ifft(np.tile(np.fft.fft(drawn), factor) * pulse * amplitude)


def ours(field):
    span = closed_forms.span(LINK)
    rate_ghz = LINK.symbol_rate_gbd * LINK.samples_per_symbol
    operators = fiber.operators(span, STEPS, field.shape[-1], rate_ghz)
    spans = Propagation(*operators, np.sqrt(span.gain))
    spectrum = np.fft.fft(field).astype(np.complex64)
    return spans(spectrum, [np.zeros_like(spectrum)] * LINK.spans)


def theirs(field):
    settings = parameters()
    settings.Ltotal = LINK.spans * LINK.span_km
    settings.Lspan = LINK.span_km
    settings.hz = LINK.span_km / STEPS
    settings.alpha = LINK.attenuation_db_per_km
    settings.D = LINK.dispersion_ps_per_nm_km
    settings.gamma = LINK.nonlinearity_per_w_km
    settings.Fc = speed_of_light / (LINK.wavelength_nm * 1e-9)
    settings.Fs = LINK.symbol_rate_gbd * LINK.samples_per_symbol * 1e9
    settings.amp = "ideal"  # no noise
    settings.prgsBar = False
    return np.stack([ssfm(block, settings) for block in field])


def equal_lengths(fiber, steps):
    """OptiCommPy's steps, in the place of `dbp.link.fiber.split`."""
    length_km = fiber.length_km / steps
    return (np.arange(steps) + 0.5) * length_km, np.full(steps, length_km)


def cpu_s(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def difference_db(one, other):
    return 10 * np.log10(np.sum(np.abs(one - other) ** 2) / np.sum(np.abs(other) ** 2))


def simulated(blocks):
    transmission.simulate(
        config.Link(block_symbols=512),
        LAUNCH_POWER_DBM,
        blocks,
        seed=1,
        purpose="evaluate",
        progress=False,
    )


def main():
    field = sent(1, 1024)
    reference = theirs(field)
    own = difference_db(ours(field), reference)
    with mock.patch.object(fiber, "split", equal_lengths):
        same = difference_db(ours(field), reference)

    chunk = sent(transmission.chunk_blocks(LINK), LINK.block_symbols)
    rounds = [(cpu_s(ours, chunk), cpu_s(theirs, field)) for _ in range(ROUNDS)]
    per_s = np.array([chunk.size, field.size]) / LINK.samples_per_symbol / np.min(rounds, axis=0)
    print(f"{LINK.samples_per_symbol} samples per symbol, {STEPS} steps per span, one core")
    print(f"  dbp                {per_s[0]:9,.0f} symbols per CPU-second")
    print(f"  OptiCommPy {version('opticommpy')}  {per_s[1]:9,.0f}")
    print(f"  ratio              {per_s[0] / per_s[1]:9.1f}")
    print(f"difference of the noiseless fields at {LAUNCH_POWER_DBM:+g} dBm")
    print(f"  each with its own steps {own:6.1f} dB")
    print(f"  the same steps          {same:6.1f} dB")

    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, DBP_CACHE=folder):
        blocks = 4 * transmission.chunk_blocks(config.Link(block_symbols=512))
        fresh, cached = blocks * 512 / np.array([cpu_s(simulated, blocks) for _ in range(2)])
    print("dbp.link.transmission.simulate, default settings, with noise")
    print(f"  simulated          {fresh:9,.0f} symbols per CPU-second")
    print(f"  from the cache     {cached:9,.0f}")


if __name__ == "__main__":
    main()
