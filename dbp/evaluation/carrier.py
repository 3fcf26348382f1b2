"""From an equalised waveform to symbols where lasers are not ideal: carrier recovery.

After the equaliser, outside the chip and in floating point, as a receiver's DSP has it:

1. The frequency offset of a group of blocks, blind, from the line that a square constellation's
   fourth power has at four times the offset (Leven et al., IEEE Photon. Technol. Lett. 19(6),
   2007). The equaliser has delayed the shifted band by 2 pi beta2 L times the offset; where the
   offset is estimated, the clock moves with it.
2. Matched filter.
3. The phase of each symbol by blind phase search (Pfau, Hoffmann, Noe, J. Lightw. Technol. 27(8),
   2009) over a window of `WINDOW` symbols, unwrapped.
4. Its fourfold ambiguity, and slips, by pilots: one symbol in `PILOT_SPACING` is known, as in
   OIF-400ZR. They decide between the four quadrants only. They are symbols sent like the others,
   and counted like them; what their place in a frame costs is not charged.

Steps 1, 3 and 4 are all that is known of the lasers: no genie removes what `dbp.link.front_end`
adds. With ideal lasers these steps are left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from dbp import config
from dbp.evaluation.measures import matched_filter, matched_symbols
from dbp.link import fiber, front_end, modulation
from dbp.link.modulation import Waveform

# Blind phase search: phases tried in a quadrant, and symbols over which errors are summed.
TEST_PHASES = 64
WINDOW = 65
PILOT_SPACING = 32
# Pilots that decide together on a quadrant.
_PILOTS_TOGETHER = 5


def symbols(equalized: Waveform, sent: Waveform, link: config.Link) -> Waveform:
    """Return the symbols of a group of blocks, up to one complex gain over all of them.

    ``equalized``: complex, shape ``(blocks, link.adc_samples)``, circular, any unit, no group
    delay; ``sent``: shape ``(blocks, block_symbols)``, of which the pilots are known. With ideal
    lasers it is `dbp.evaluation.measures.matched_filter`'s answer.
    """
    if front_end.without_lasers(link) == link or not equalized.any():
        return matched_filter(equalized, link.roll_off, link.adc_rate)
    spectrum = np.fft.fft(equalized / np.sqrt(np.mean(np.abs(equalized) ** 2)))
    received = _without_offset(spectrum, offset_bins(spectrum, link), link)
    received /= np.sqrt(np.mean(np.abs(received) ** 2))
    phase = blind_phase(received, link.modulation)
    return received * np.exp(-1j * (phase + quadrant(received, phase, sent)))


def offset_bins(spectrum: Waveform, link: config.Link) -> int:
    """Return the shift of the spectrum of all blocks, in bins of a block.

    ``spectrum``: transform of an equalised waveform of mean power 1, shape ``(blocks, samples)``.

    The place of the band tells between offsets an eighth of the symbol rate to either side, which
    are one to the fourth power. The one returned is that whose removal, with its delay, leaves
    most power close to frequency 0 in the fourth power of the symbols. In circular blocks
    true offsets are whole bins, hence so is the estimate: its error is one of whole bins, or none.
    Without blocks it would be some 50 kHz of noise for the paper's link, 1e-3 rad in a window.
    """
    samples, block = spectrum.shape[-1], link.block_symbols
    band = modulation.root_raised_cosine(link.roll_off, float(link.adc_rate), samples) ** 2
    density = np.fft.fft(np.mean(np.abs(spectrum) ** 2, axis=0))
    likeness = np.fft.ifft(density * np.fft.fft(band).conj()).real
    coarse = int(np.argmax(likeness))
    coarse -= samples * (coarse > samples // 2)
    # Not all bins of long blocks are tried: the lines of those between are seen near 0, as long as
    # their symbols are hardly mistimed.
    symbols_per_bin = _delay_ps(1, link) * 1e-3 * link.symbol_rate_gbd
    step = max(1, int(min(block / 1024, 0.2 / max(abs(symbols_per_bin), 1e-9))))
    reach = block // 8 // step
    near = np.arange(-2 * step, 2 * step + 1)
    tones = np.exp(-2j * np.pi / block * np.outer(np.arange(block), near)).astype(np.complex64)
    spectrum = spectrum.astype(np.complex64)

    def line(bins: int) -> NDArray[np.floating]:
        square = np.square(_without_offset(spectrum, bins, link))
        return np.mean(np.abs(np.square(square) @ tones) ** 2, axis=0)

    tried = [coarse + step * k for k in range(-reach, reach + 1)]
    lines = [line(bins) for bins in tried]
    best = int(np.argmax([np.sum(powers) for powers in lines]))
    return tried[best] + round(near[np.argmax(lines[best])] / 4)


def _without_offset(spectrum: Waveform, bins: int, link: config.Link) -> Waveform:
    """Apply the matched filter about the shifted band and undo its delay; returns symbols."""
    rate_ghz = float(link.adc_rate) * link.symbol_rate_gbd
    omega = fiber.angular_frequency(spectrum.shape[-1], rate_ghz)
    undone = np.exp(1j * omega * _delay_ps(bins, link)).astype(spectrum.dtype)
    centered = np.roll(spectrum, -bins, axis=-1) * undone
    return matched_symbols(centered, link.roll_off, link.adc_rate)


def _delay_ps(bins: int, link: config.Link) -> float:
    """Return how much an equaliser delays a band that is shifted by ``bins`` bins.

    It leaves exp(-j beta2 L w0 (w - w0)) of exp(j beta2 L / 2 (w - w0)^2), but for a constant.
    """
    beta2 = fiber.beta2_ps2_per_km(link.dispersion_ps_per_nm_km, link.wavelength_nm)
    offset_ghz = bins * link.symbol_rate_gbd / link.block_symbols
    return beta2 * link.spans * link.span_km * 2e-3 * np.pi * offset_ghz


def blind_phase(received: Waveform, modulation_: str) -> NDArray[np.float64]:
    """Return the phase of each symbol, but for a multiple of pi/2 a block and for slips.

    ``received``: shape ``(blocks, symbols)``, circular, mean power 1.
    """
    points = modulation.constellation(modulation_)
    least = np.full(received.shape, np.inf)
    phase = np.zeros(received.shape)
    for tried in np.arange(TEST_PHASES) * (np.pi / 2 / TEST_PHASES):
        turned = received * np.exp(-1j * tried)
        error = np.abs(turned - points[modulation.decide(modulation_, turned)]) ** 2
        error = uniform_filter1d(error, WINDOW, axis=-1, mode="wrap")
        better = error < least
        least[better] = error[better]
        phase[better] = tried
    return np.unwrap(phase, period=np.pi / 2, axis=-1)


def quadrant(received: Waveform, phase: NDArray[np.float64], sent: Waveform) -> NDArray:
    """Return the multiple of pi/2 of each symbol that the pilots see beyond ``phase``."""
    pilots = slice(None, None, PILOT_SPACING)
    seen = received[:, pilots] * np.exp(-1j * phase[:, pilots]) * sent[:, pilots].conj()
    half = _PILOTS_TOGETHER // 2
    together = sum(np.roll(seen, k, axis=-1) for k in range(-half, half + 1))
    turns = np.round(np.angle(together) / (np.pi / 2))
    nearest = np.round(np.arange(received.shape[-1]) / PILOT_SPACING).astype(int)
    return turns[:, nearest % turns.shape[-1]] * (np.pi / 2)
