"""Streams of pulses as others might have recorded them, and a design that does next to nothing."""

import io
from pathlib import Path

import numpy as np

from dbp.datapath.design import Design, Filter, Rotation
from dbp.errors import InputError
from dbp.link import modulation
from dbp.support import untrusted_files

ROLL_OFF = 0.2


def drawn(symbols, seed=1, name="16qam"):
    return modulation.draw(name, symbols, np.random.default_rng(seed))[0]


def stream(sent, samples_per_symbol, delay_samples=0.0):
    """Pulses of symbols that repeat without end, later by that number of samples."""
    count = sent.size * samples_per_symbol
    pulse = modulation.root_raised_cosine(ROLL_OFF, samples_per_symbol, count)
    turn = np.exp(-2j * np.pi * np.fft.fftfreq(count) * delay_samples)
    spectrum = np.tile(np.fft.fft(sent), samples_per_symbol) * pulse * turn
    return np.fft.ifft(spectrum) * samples_per_symbol


def noise(size, snr_db, seed=2):
    drawn = np.random.default_rng(seed).standard_normal((size, 2)).view(np.complex128)[:, 0]
    return drawn * np.sqrt(10 ** (-snr_db / 10) / 2)


def plain(waveform):
    return waveform


def turned(seed):
    """A random unitary matrix."""
    a, b = np.random.default_rng(seed).normal(size=4).view(complex)
    return np.array([[a, b], [-b.conjugate(), a.conjugate()]]) / np.hypot(abs(a), abs(b))


def here(arguments):
    """Read a file in this process, in the place of `untrusted_files._in_a_process`."""
    path, *names = arguments
    store = untrusted_files.is_store(path)
    read = untrusted_files._read_zarr if store else untrusted_files._READERS[Path(path).suffix]
    try:
        fields = read(path, names)
    except InputError as error:
        return 2, b"", str(error)
    out = io.BytesIO()
    np.savez(out, **fields)
    return 0, out.getvalue(), ""


# A receiver that does next to nothing, for a link of noise.
FILTER = Filter(9, 8, 9, (0, 0, 0, 0, 256 - 1), (0, 0, 0, 0, 0))
TURN = Rotation(9, 0, 10, (0,), 16, 7, 8, 9, 2, 9)
DESIGN = Design("nearly-plain", 9, 250, (FILTER, FILTER), (TURN,))
LINK = """
[link]
spans = 2
span_km = 20.0
noise_figure_db = 20.0
steps_per_span = 1
dispersion_ps_per_nm_km = 0.0
"""
