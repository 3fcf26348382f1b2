"""Pack the P samples of a clock into one integer, a word, as the ports of the hardware carry it.

Lane 0, the oldest sample, is in the least significant bits. With two polarisations a word has P
samples of x, then P of y.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dbp.datapath.fixed import Codes


def pack_words(codes: Codes, bits: int, lanes: int) -> list[int]:
    """Pack codes, in time order, into ``n`` unsigned integers.

    ``codes``: shape ``(n * lanes,)``, or ``(2, n * lanes)`` of two polarisations.
    """
    codes = np.asarray(codes, np.int64)
    polarizations, words = codes.ndim, codes.shape[-1] // lanes
    by_word = codes.reshape(polarizations, words, lanes).swapaxes(0, 1)
    planes = ((by_word[..., None] >> np.arange(bits)) & 1).astype(np.uint8)
    rows = np.packbits(planes.reshape(words, polarizations * lanes * bits), 1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def unpack_words(words: Sequence[int], bits: int, lanes: int, polarizations: int = 1) -> Codes:
    """Return the signed codes of words: undo `pack_words`.

    Of shape ``(len(words) * lanes,)``, or ``(2, len(words) * lanes)``.
    """
    count = polarizations * lanes * bits
    size = (count + 7) // 8
    rows = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    planes = np.unpackbits(rows.reshape(len(words), size), 1, count, "little")
    weights = 1 << np.arange(bits)
    weights[-1] = -weights[-1]
    codes = planes.reshape(-1, bits).astype(np.int64) @ weights
    by_word = codes.reshape(len(words), polarizations, lanes).swapaxes(0, 1)
    leading = () if polarizations == 1 else (polarizations,)
    return by_word.reshape(*leading, len(words) * lanes)
