"""Measure how often the 95 % interval covers the true bit error ratio, by Monte Carlo.

    OMP_NUM_THREADS=1 python benchmarks/intervals.py [--trials 4000]

Blocks of 4096 bits (1024 16-QAM symbols) are counted in groups of 8 until there are at least N
errors, as `dbp ber` counts. Columns: blocks and bad blocks counted in the mean; the mean excess of
the estimate over the truth; how often the truth lies within, above and below the
interval of the blocks; its median upper end over the estimate; how often plain Clopper-Pearson
covers.
"""

import argparse

import numpy as np

from dbp.evaluation.intervals import block_interval, interval

COLUMNS = (
    *("channel", "BER", "N", "blocks", "bad", "bias"),
    *("within", "above", "below", "upper end", "plain"),
)
BITS = 4096
GROUP = 8


def awgn(generator, ber, shape):
    """Independent errors."""
    return generator.binomial(BITS, ber, shape)


def bursts(probability, ratio):
    """Bad blocks, with a probability, have ``ratio`` times the error ratio of the good ones."""

    def draw(generator, ber, shape):
        good = ber / (1 - probability + probability * ratio)
        bad = generator.random(shape) < probability
        return generator.binomial(BITS, np.where(bad, good * ratio, good))

    return draw


def fading(variance):
    """Beta-binomial errors; ``variance``: nearly that of a block's ratio over its squared mean."""

    def draw(generator, ber, shape):
        return generator.binomial(
            BITS, generator.beta(1 / variance, (1 / ber - 1) / variance, shape)
        )

    return draw


# Name, channel, and the share of bad blocks.
CHANNELS = (
    ("AWGN", awgn, 0),
    ("fading, variance 1/4", fading(0.25), 0),
    ("fading, variance 1", fading(1), 0),
    ("fading, variance 3", fading(3), 0),
    *(
        (f"{share:g} bad, {ratio} times", bursts(share, ratio), share)
        for share, ratio in ((0.3, 10), (0.1, 10), (0.03, 10), (0.01, 100), (0.1, 1000))
    ),
)


def count(draw, ber, min_errors, trials, generator):
    """Count by the stopping rule: errors, squared errors, blocks; shape ``(3, trials)``."""
    sums = np.zeros((3, trials), np.int64)
    live = np.arange(trials)
    while live.size:
        errors = draw(generator, ber, (live.size, GROUP))
        sums[:, live] += errors.sum(1), (errors**2).sum(1), np.full(live.size, GROUP)
        live = live[sums[0, live] < min_errors]
    return sums


def coverage(draw, ber, min_errors, trials, seed):
    """Return the figures of one line of the table."""
    sums = count(draw, ber, min_errors, trials, np.random.default_rng(seed))
    points = [tuple(map(int, point)) for point in sums.T]
    of_blocks = np.array(
        [
            block_interval(errors, blocks * BITS, blocks=blocks, squared_errors=squared)
            for errors, squared, blocks in points
        ]
    )
    plain = np.array([interval(errors, blocks * BITS) for errors, _, blocks in points])
    estimate = sums[0] / (sums[2] * BITS)
    return {
        "blocks": sums[2].mean(),
        "bias": estimate.mean() / ber - 1,
        "within": np.mean((of_blocks[:, 0] <= ber) & (ber <= of_blocks[:, 1])),
        "above": np.mean(ber > of_blocks[:, 1]),
        "below": np.mean(ber < of_blocks[:, 0]),
        "upper": np.median(of_blocks[:, 1] / estimate),
        "plain": np.mean((plain[:, 0] <= ber) & (ber <= plain[:, 1])),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for name, draw, share in CHANNELS:
        for ber, min_errors in (
            *((1e-2, 400), (1e-3, 20), (1e-3, 100), (1e-3, 400)),
            *((1e-4, 20), (1e-4, 100), (1e-4, 400)),
        ):
            row = coverage(draw, ber, min_errors, trials, seed=1)
            cells = (
                *(name, f"{ber:.0e}", min_errors, f"{row['blocks']:.0f}"),
                f"{share * row['blocks']:.1f}" if share else "",
                *(f"{row[key]:.1%}" for key in ("bias", "within", "above", "below")),
                *(f"{row['upper']:.2f}", f"{row['plain']:.1%}"),
            )
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
