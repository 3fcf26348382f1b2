"""Examples for learning, cut from a recording (`dbp train --waveform`).

The last share of a recording is held out. Of both parts the state is found by itself
(`dbp.evaluation.recorded_state`), so that nothing of what is learned on knows of the other. Then
blocks are cut that overlap at their ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from dbp import config
from dbp.config import Config
from dbp.errors import InputError
from dbp.evaluation import recorded_state
from dbp.evaluation.on_waveform import FILTER_SYMBOLS, memory_symbols_of_link, stream
from dbp.evaluation.recorded_state import Tracked
from dbp.learning.data import Cut, Examples, learned_link
from dbp.learning.layout import Layout
from dbp.link.resampling import resized
from dbp.waveforms.recording import Recording

# With fewer symbols filters learn the noise, and the choice among states is left to chance.
LEAST_LEARNED, LEAST_VALIDATED = 8192, 2048
# A recording may differ from a configuration by this: rates and shares relatively, powers in dB.
_RELATIVE, _OF_LINK, _DB = 1e-3, 1e-2, 0.05
# The clock may leave out one symbol in this many.
_SLOW = 1000


@dataclass(frozen=True, repr=False, eq=False)
class Prepared:
    """Examples of a recording, and what was found in what is learned on and what is held out."""

    recording: Recording
    examples: Examples
    states: tuple[Tracked, Tracked]

    @property
    def cuts(self) -> tuple[Cut, Cut]:
        """The blocks of both parts."""
        return self.examples.train, self.examples.validation


def prepare(recording: Recording, settings: Config, held_out: float) -> Prepared:
    """Cut a recording into examples for a configuration, the last share ``held_out`` to validate.

    No more than ``training.symbols`` are learned on, from the start, and no more than
    ``training.validation_symbols`` of the held-out part validate. Raises `InputError`, one line,
    where the recording is too short, contradicts the configuration, or does not hold its symbols.
    """
    _check(recording, settings)
    training, edge = settings.training, edge_symbols(settings)
    parts = recording.parts(held_out)
    _check_length(recording, parts, settings, held_out)
    most = training.symbols, training.validation_symbols
    states, cuts = [], []
    for name, part, symbols in zip(("learned on", "held out"), parts, most, strict=True):
        try:
            state = _tracked(part, settings, edge)
        except InputError as error:
            raise InputError(f"the part that is {name}: {error}") from None
        states.append(state)
        cuts.append(_cut(state, settings, edge, -(-symbols // training.block_symbols)))
    examples = Examples(cuts[0], cuts[1], edge)
    return Prepared(recording, examples, (states[0], states[1]))


def edge_symbols(settings: Config) -> int:
    """Return how many symbols at each end of a block are received and not compared.

    Half of the memory of the filters or of the link, whichever is longer, and the pulse's; with
    whole samples of the converter.
    """
    link = settings.link
    layout = Layout.of(settings.learned, link)
    beside = settings.learned.kerr_taps // 2 * len(layout.kerr_spans)
    samples = sum(taps // 2 for taps in layout.taps) + beside
    memory = max(math.ceil(samples / link.adc_rate), memory_symbols_of_link(link))
    return _whole(memory + FILTER_SYMBOLS, link.adc_rate)


def _whole(symbols: int, rate: Fraction) -> int:
    """The least number of symbols from this on that has whole samples."""
    return -(-symbols // rate.denominator) * rate.denominator


def _check(recording: Recording, settings: Config) -> None:
    """Refuse a recording without symbols, or of another link than the configuration's."""
    link, training = settings.link, settings.training
    if recording.symbols is None:
        raise InputError("symbols or bits: missing: must be there to learn from")
    sent, has = link.impairments.polarizations, recording.polarizations
    if sent != has:
        raise InputError(
            f"waveform: of {has} polarisation{'s' * (has > 1)}: must be of {sent}, as "
            f"link.impairments.dual_polarisation = {str(sent == 2).lower()} says"
        )
    if not np.isfinite(recording.waveform).all():
        raise InputError("waveform: holds NaN or infinite numbers: must be finite")
    stated = {
        "symbol_rate_gbd": recording.symbol_rate_baud / 1e9,
        "roll_off": recording.roll_off,
        **({"modulation": recording.modulation} if recording.modulation else {}),
        **(recording.link or {}),
    }
    for key, theirs in stated.items():
        tolerance = _OF_LINK if key in (recording.link or {}) else _RELATIVE
        if _differ(theirs, ours := getattr(link, key), tolerance):
            raise InputError(
                f"{key} = {_text(theirs)}: link.{key} = {_text(ours)} in the configuration: must "
                "be the same"
            )
    power_dbm = recording.launch_power_dbm
    if abs(power_dbm - training.launch_power_dbm) > _DB:
        raise InputError(
            f"launch_power_dbm = {power_dbm:g}: training.launch_power_dbm = "
            f"{training.launch_power_dbm:g} in the configuration: must be the same"
        )
    if recording.samples_per_symbol < link.adc_rate:
        raise InputError(
            f"sample_rate_hz: {recording.samples_per_symbol} samples per symbol: must be at least "
            f"link.adc_samples_per_symbol = {link.adc_rate} of the configuration"
        )


def _differ(theirs: object, ours: object, tolerance: float) -> bool:
    if isinstance(theirs, int | float) and isinstance(ours, int | float):
        return abs(theirs - ours) > tolerance * abs(ours)
    return theirs != ours


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else repr(value)


def _check_length(
    recording: Recording, parts: tuple[Recording, Recording], settings: Config, held_out: float
) -> None:
    """Refuse a recording of which either part has too few blocks; says how long it must be."""
    block, rate = settings.training.block_symbols, _work_rate(settings.link)
    edge = edge_symbols(settings)
    given = recording.samples_per_symbol
    # What is left out at the end, of whole samples at three rates, and by a slow clock.
    left_out = math.lcm(given.denominator, rate.denominator, settings.link.adc_rate.denominator)
    needs = []
    for least in (LEAST_LEARNED, LEAST_VALIDATED):
        compared = max(-(-least // block) * block, recorded_state.LEAST_SYMBOLS)
        needs.append(compared + compared // _SLOW + 2 * edge + left_out)
    symbols = [int(part.waveform.shape[-1] / given) for part in parts]
    if all(have >= need for have, need in zip(symbols, needs, strict=True)):
        return
    shares = 1 - held_out, held_out
    least = max(math.ceil((need + 1) / share) for need, share in zip(needs, shares, strict=True))
    raise InputError(
        f"waveform: {int(recording.waveform.shape[-1] / given)} symbols: must be at least {least}, "
        f"so that {needs[0]} are learned on and {needs[1]} held out, a share of {held_out:g}; "
        f"{edge} at each end of either are not compared"
    )


def _work_rate(link: config.Link) -> Fraction:
    """The samples per symbol at which the state is found: the pulse is whole at 2."""
    return max(Fraction(2), link.adc_rate)


def _tracked(part: Recording, settings: Config, edge: int) -> Tracked:
    link = learned_link(settings)
    rate = _work_rate(link)
    wide = {"adc_samples_per_symbol": str(rate), "adc_filter_roll_off": 0.0}
    waveform = np.atleast_2d(stream(part, rate))
    # Whole samples at the converter's rate, too.
    multiple = math.lcm(rate.denominator, link.adc_rate.denominator)
    symbols = int(waveform.shape[-1] / rate) // multiple * multiple
    waveform = waveform[:, : int(symbols * rate)]
    assert part.symbols is not None  # `_check` has seen them
    sent = np.atleast_2d(part.symbols)
    power_dbm = part.launch_power_dbm
    return recorded_state.track(waveform, sent, link.model_copy(update=wide), power_dbm, edge)


def _cut(state: Tracked, settings: Config, edge: int, most: int) -> Cut:
    """Blocks of a stream at the converter's samples per symbol, at most so many."""
    rate, block = settings.link.adc_rate, settings.training.block_symbols
    symbols = state.expected.shape[-1]
    spectrum = resized(np.fft.fft(state.waveform), int(symbols * rate))
    waveform = np.fft.ifft(spectrum)
    waveform /= np.sqrt(np.mean(np.abs(waveform) ** 2, axis=-1, keepdims=True))
    first, stop = state.usable.start, state.usable.stop
    starts = first + block * np.arange(min(most, (stop - first) // block))
    inner = starts[:, np.newaxis] + np.arange(block)
    firsts = np.array([int((start - edge) * rate) for start in starts])
    outer = firsts[:, np.newaxis] + np.arange(int((block + 2 * edge) * rate))
    expected = state.expected / np.sqrt(np.mean(np.abs(state.expected[:, first:stop]) ** 2))
    return Cut(_by_block(expected, inner), _by_block(waveform, outer))


def _by_block(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Shape ``(blocks, n)`` of one row, ``(blocks, 2, n)`` of two."""
    blocks = np.moveaxis(rows[:, places], 0, 1).astype(np.complex64)
    return blocks[:, 0] if len(rows) == 1 else blocks
