"""Pack the P samples of a clock into one integer, a word, as the ports of the hardware carry it.

Lane 0, the oldest sample, is in the least significant bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dbp.datapath.fixed import Codes


def pack_words(codes: Codes, bits: int, lanes: int) -> list[int]:
    """Pack codes of shape ``(n * lanes,)``, in time order, into ``n`` unsigned integers."""
    planes = (np.asarray(codes, np.int64)[:, None] >> np.arange(bits)) & 1
    rows = np.packbits(planes.astype(np.uint8).reshape(-1, lanes * bits), 1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def unpack_words(words: Sequence[int], bits: int, lanes: int) -> Codes:
    """Return the signed codes of words, shape ``(len(words) * lanes,)``: undo `pack_words`."""
    size = (lanes * bits + 7) // 8
    rows = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    planes = np.unpackbits(rows.reshape(len(words), size), 1, lanes * bits, "little")
    weights = 1 << np.arange(bits)
    weights[-1] = -weights[-1]
    return planes.reshape(-1, bits).astype(np.int64) @ weights
