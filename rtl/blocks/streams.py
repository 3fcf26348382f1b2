"""Streams of words: their ports, their valid bits, and the histories that blocks keep of them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def stream_ports(
    lanes: int, polarizations: int, input_bits: int, output_bits: int
) -> dict[str, wiring.Member]:
    """Return ports for words of ``lanes`` complex samples in and out, each word with its valid.

    Lane 0, in the least significant bits, is the oldest sample. With two ``polarizations`` all
    samples of y lie above all of x.
    """
    samples = lanes * polarizations
    return {
        "in_valid": In(1),
        "in_i": In(samples * input_bits),
        "in_q": In(samples * input_bits),
        "out_valid": Out(1),
        "out_i": Out(samples * output_bits),
        "out_q": Out(samples * output_bits),
    }


def by_polarization(word: Value, polarizations: int) -> list[tuple[str, Value]]:
    """Return what ends the names of each polarisation's signals, and its part of a word."""
    if polarizations == 1:
        return [("", word)]
    half = len(word) // 2
    return [("", word[:half]), ("_y", word[half:])]


def delayed_valid(m: Module, name: str, valid: Value, cycles: int) -> Value:
    """Return ``valid`` after ``cycles`` clocks.

    Reset clears it on the way, so that no word from before the reset leaves.
    """
    if cycles == 0:
        return valid
    stages = Signal(cycles, name=name)
    m.d.sync += stages.eq(Cat(valid, stages)[:cycles])
    return stages[-1]


def with_history(m: Module, name: str, word: Value, valid: Value, length: int) -> Value:
    """Return the last ``length`` bits before this word, then the word: the oldest first.

    That history advances with every valid word. Nothing resets it: see `warmed_up`.
    """
    if length == 0:
        return word
    history = Signal(length, name=name, reset_less=True)
    whole = Cat(history, word)
    with m.If(valid):
        m.d.sync += history.eq(whole[-length:])
    return whole


def words_to_fill(samples: int, lanes: int) -> int:
    """Return how many words of ``lanes`` samples fill a history of ``samples`` samples."""
    return -(-samples // lanes)


def warmed_up(m: Module, valid: Value, words: int) -> Value:
    """Return ``valid``, but low for the first ``words`` valid words after reset.

    Those words fill a history that holds samples from before the reset until then.
    """
    if words == 0:
        return valid
    missing = Signal(range(words + 1), name="words_missing", init=words)
    filling = missing.any()
    one_less = Signal.like(missing, name="words_missing_next")
    m.d.comb += one_less.eq(missing - 1)
    with m.If(valid & filling):
        m.d.sync += missing.eq(one_less)
    return valid & ~filling
