"""What a receiver without a genie costs, by stage and by what the link does to the light.

    OMP_NUM_THREADS=1 python benchmarks/blind_receiver.py docs/images [PART...]

The paper's link with two polarisations, in blocks of 16,384 symbols. PART ``paper``: with its Kerr
effect, `learned-c6-s9` in floating point at the best of its launch powers. All others, such as
``lasers``: without Kerr effect, `linear`, at the launch power of the same effective SNR, so that
an impairment costs seconds. Figures are kept in ``blind_receiver.csv``, so that parts may be run
one by one, and drawn into ``blind_receiver.svg``. `docs/results/blind_receiver.md` says what it
shows, and how long it takes.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from dbp import config, runs
from dbp.evaluation import blind, groups, measures
from dbp.evaluation.blind import acquisition
from dbp.evaluation.receivers import FloatReceiver, Receiver, Reference
from dbp.link import closed_forms, transmission
from dbp.link.modulation import Waveform
from dbp.link.transmission import Received
from dbp.support import files
from dbp.support.svg import to_svg

DESIGN, SEED, BLOCKS = "learned-c6-s9", 1, {"paper": 3}
POWER_DBM, LINEAR_SNR_DB = 3.0, 17.6
LASERS = {"transmitter_linewidth_khz": 100.0, "receiver_linewidth_khz": 100.0}
ROTATION = {"polarisation_rotation": True, "polarisation_rotation_krad_per_s": 10.0}
PMD = {"pmd_ps_per_root_km": 0.1, "pmd_section_km": 10.0}
OFFSET = {"frequency_offset_mhz": 200.0}
ALL = {**LASERS, **PMD, **ROTATION}
LINEAR = {"nonlinearity_per_w_km": 0.0, "steps_per_span": 1}
# With fewer sections, where the fibre itself takes as long as all else.
LINKS = {
    "paper": {**ALL, "pmd_section_km": 1.0},
    "nothing": LINEAR,
    "lasers": {**LINEAR, **LASERS},
    "PMD": {**LINEAR, **PMD},
    "rotation": {**LINEAR, **ROTATION},
    "offset": {**LINEAR, **OFFSET},
    "timing": LINEAR,
    "all": {**LINEAR, **ALL},
    "all, offset, timing": {**LINEAR, **ALL, **OFFSET},
    "all, 1 Mrad/s": {**LINEAR, **ALL, "polarisation_rotation_krad_per_s": 1000.0},
    "all, 1 MHz": {**LINEAR, **ALL, **dict.fromkeys(LASERS, 1000.0)},
}
# The converter's clock is off in these, which the genie does not see.
CLOCK = acquisition.Clock(delay=0.3, drift=20e-6)
OFF_CLOCK = ("timing", "all, offset, timing")
# In the table only: their costs would dwarf all others in the figure.
NOT_DRAWN = ("all, 1 Mrad/s", "all, 1 MHz")

Detect = Callable[[Received, Waveform], Waveform]


def genie(group: Received, equalized: Waveform) -> Waveform:
    return groups.detected(group.link, group, equalized, "genie")[1]


def of_start(start: blind.Start) -> Detect:
    return lambda group, equalized: blind.symbols(equalized, group.symbols, group.link, start)


def with_stages(frequency: bool, clock: bool) -> Detect:
    """The genie's polarisations and frame, but the blind receiver's frequency and clock."""

    def detect(group: Received, equalized: Waveform) -> Waveform:
        link, received = group.link, []
        unmixed = groups._unmixed(equalized, link, group.first_block)
        for stream, sent in zip(unmixed, group.symbols, strict=True):
            rate, offset = float(link.adc_rate), 0.0
            if frequency:
                coarse = acquisition.band_offset(np.fft.fft(stream), link.roll_off, rate)
                prepared, _ = blind.prepare(stream, coarse, link.roll_off, rate)
                preamble = sent[:, : blind.PREAMBLE_SYMBOLS]
                offset = coarse + acquisition.find_preamble(prepared, preamble, 2).offset
            prepared, found = blind.prepare(stream, offset, link.roll_off, rate)
            if not clock:  # but for the stage's own estimate
                prepared = acquisition.on_clock(prepared, acquisition.Clock(-found.delay, 0.0))
            received.append(blind.carried(prepared[:, ::2], sent, link.modulation))
        return np.stack(received)

    return detect


STAGES = {
    "genie": genie,
    "frequency": with_stages(frequency=True, clock=False),
    "clock": with_stages(frequency=True, clock=True),
    "butterfly, preamble": of_start("preamble"),
    "butterfly, blind start": of_start("blind"),
}
BETWEEN = ("frequency", "clock")


def measure(name: str) -> list[dict[str, str | float]]:
    """Measure all stages on the same blocks, and on the same symbols of each."""
    paper = config.load("paper").link
    changes = {"block_symbols": 16384, "dual_polarisation": True, **LINKS[name]}
    link = config.link_with(paper, changes)
    receiver: Receiver = Reference("linear", link)
    power_dbm = LINEAR_SNR_DB - 10 * np.log10(closed_forms.back_to_back_snr(link, 0.0))
    if name == "paper":
        receiver, power_dbm = FloatReceiver(DESIGN, runs.float_filters(DESIGN, None)), POWER_DBM
    part = blind.counted(link)
    # The stages between take the frame to be in its place, which a late clock moves, and so does
    # the dispersion of what an offset shifts.
    in_place = name not in OFF_CLOCK and not link.impairments.frequency_offset_mhz
    stages = {k: of for k, of in STAGES.items() if in_place or k not in BETWEEN}
    counted: dict[str, list[measures.Measures]] = {stage: [] for stage in stages}
    for block in range(BLOCKS.get(name, 1)):
        group = transmission.simulate(
            link, power_dbm, 1, seed=SEED, purpose="evaluate", first_block=block, progress=False
        )
        equalized = seen = receiver(group.waveform, power_dbm)
        if name in OFF_CLOCK:
            late = [acquisition.on_clock(stream, CLOCK) for stream in group.waveform]
            seen = receiver(np.stack(late).astype(np.complex64), power_dbm)
        cut = replace(group, symbols=group.symbols[..., part], labels=group.labels[..., part])
        for stage, detect in stages.items():
            symbols = detect(group, equalized if stage == "genie" else seen)[..., part]
            counted[stage].append(groups._measure(link.modulation, cut, symbols))
    rows: list[dict[str, str | float]] = []
    for stage, of_stage in counted.items():
        figures = measures.summarize(of_stage)
        print(f"{name:14} {stage:24} {figures}", flush=True)
        rows.append(
            {"link": name, "stage": stage, "snr_db": round(figures.snr_db, 3), "ber": figures.ber}
        )
    return rows


def draw(rows: list[dict[str, str | float]]) -> Figure:
    """Costs against the genie, stage by stage: the paper's link, and single impairments."""
    snr_db = {(row["link"], row["stage"]): float(row["snr_db"]) for row in rows}
    links = [name for name in LINKS if (name, "genie") in snr_db and name not in NOT_DRAWN]
    labels = {name: name.replace(", ", ",\n") for name in LINKS} | {
        "paper": "all, with\nKerr effect",
        "offset": "frequency\noffset",
    }
    figure = Figure(figsize=(11, 4), layout="constrained")
    axis = figure.subplots()
    shown = list(STAGES)[1:]
    for k, stage in enumerate(shown):
        of_stage = [name for name in links if (name, stage) in snr_db]
        costs = [snr_db[name, "genie"] - snr_db[name, stage] for name in of_stage]
        middle = np.array([links.index(name) for name in of_stage])
        axis.bar(middle + 0.2 * (k - (len(shown) - 1) / 2), costs, 0.18, label=stage)
    axis.set_xticks(range(len(links)), [labels[name] for name in links])
    axis.axhline(0, color="black", linewidth=0.8)
    axis.axhline(0.3, color="grey", linestyle=":", linewidth=1)
    axis.set(ylabel="cost against the genie (dB of effective SNR)")
    axis.legend(title="blind up to", fontsize=8, loc="center left")
    return figure


def main(folder: Path, *parts: str) -> None:
    file = folder / "blind_receiver.csv"
    kept = list(csv.DictReader(file.read_text().splitlines())) if file.exists() else []
    for name in parts or LINKS:
        new = measure(name)
        kept = [row for row in kept if row["link"] != name] + new
        files.write_csv(file, kept)
    files.write_text(folder / "blind_receiver.svg", to_svg(draw(kept)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
