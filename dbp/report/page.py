"""``report.html``: one page, without external references, over the designs of one or more runs.

The first screen is `dbp.report.verdict`, with the picture; all else folds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from fractions import Fraction
from pathlib import Path

from dbp.comparison import merit, paper
from dbp.config import Link
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.evaluation import plot
from dbp.records.provenance import Metrics, read_metrics
from dbp.records.schemas import (
    BerMetrics,
    ComparisonMetrics,
    Point,
    SynthMetrics,
    best_points,
)
from dbp.report import plots, tables
from dbp.report._html import figure as figure_of
from dbp.report._html import fold, image, page, panels, prose, table, text, wide
from dbp.report.contents import Contents, DesignRun
from dbp.report.verdict import Verdict, verdict
from dbp.support.files import read_npz, read_text, write_text
from dbp.support.style import new_axes


def write_report(folders: Sequence[Path]) -> Path:
    """Write ``report.html`` into the first folder, over all that is found in ``folders``.

    A folder is a design's (it holds ``design.json``), holds such folders, as `dbp run` makes them,
    or is one of `dbp ber` or `dbp compare`. Returns the page's path; `InputError` for folders and
    files that do not fit.
    """
    content = Contents.load(folders)
    comparisons = _read_comparisons(folders)
    absent = _read_absent(folders)
    runs, points = content.runs, content.points
    found = verdict(content, comparisons, absent)
    body = [
        *_first_screen(found),
        *_picture(folders, points, comparisons),
        *fold("Links", _links(runs)),
        *fold("Bit error ratio", _ber(points), "the best of each receiver"),
        *fold("Constellation before and after", _constellations(folders)),
        *fold("Filters", _filters(runs)),
        *fold("Formats", _formats(runs)),
        *fold("Hardware", _hardware(runs)),
        *fold("Layout", _layouts(runs)),
        *fold("Receivers beside each other", _comparison(comparisons)),
        *fold("What the paper reports for these formats", _published(runs)),
        *fold("Absent", _absent(absent)),
        *fold("Provenance", _provenance(runs, content.evaluations), "hashes, seeds, versions"),
    ]
    path = folders[0] / "report.html"
    write_text(path, page(f"dbp: {found.compared}", body))
    return path


def _first_screen(found: Verdict) -> list[str]:
    first, *others = found.sentences
    figures = "".join(
        f"<li><b>{text(figure.value)}</b><span>{text(figure.meaning)}</span></li>"
        for figure in found.figures
    )
    doubts = "".join(f"<li>{prose(doubt)}</li>" for doubt in found.doubts)
    return [
        f'<p class="muted small">Digital backpropagation, compared: {text(found.compared)}</p>',
        f"<h1>{prose(first)}</h1>",
        *(f'<p class="lead">{prose(sentence)}</p>' for sentence in others),
        f'<ul class="figures">{figures}</ul>' if figures else "",
        f'<div class="doubts"><h2>What to doubt</h2><ul>{doubts}</ul></div>' if doubts else "",
    ]


def _picture(
    folders: Sequence[Path], points: Sequence[Point], comparisons: Sequence[ComparisonMetrics]
) -> list[str]:
    """Show bit errors against launch power, or against watts."""
    lines = [
        wide(figure_of(plots.comparison(metrics.rows), "bit error ratio against watts"))
        for metrics in comparisons
    ]
    for folder in folders:
        # With the paper's curves; of other evaluations the points are drawn.
        drawing = folder / "ber.svg"
        if (folder / "reproduction.csv").is_file() and drawing.is_file():
            words = "our bit error ratio and the paper's against launch power"
            lines.append(wide(image(drawing.read_text("utf-8", "replace"), words)))
            points = []
    if points:
        drawn = {"bit error ratio": plot.plot_ber(points), "effective SNR": plot.plot_snr(points)}
        lines.append(panels([figure_of(ax, f"{words} of all") for words, ax in drawn.items()]))
    return lines


def _interval(point: Point) -> str:
    return f"{point.ber:.2e} ({point.ber_low:.2e} .. {point.ber_high:.2e})"


def _links(runs: Sequence[DesignRun]) -> list[str]:
    lines = []
    of_links: dict[Link, list[str]] = {}
    for run in runs:
        if run.config:
            of_links.setdefault(run.config.link, []).append(run.name)
    for link, names in of_links.items():
        whose = f"<b>{text(', '.join(names))}</b>: " if len(of_links) > 1 else ""
        both = " in each of two polarisations" if link.impairments.dual_polarisation else ""
        lines.append(
            f"<p>{whose}{link.spans} x {link.span_km:g} km, {link.symbol_rate_gbd:g} GBd "
            f"{link.modulation.upper()}{both}, {link.dispersion_ps_per_nm_km:g} ps/nm/km, "
            f"{link.nonlinearity_per_w_km:g} /W/km, noise figure {link.noise_figure_db:g} dB; "
            "the receiver compensates dispersion and the Kerr effect in short fixed-point filters "
            "and rotations, in the time domain.</p>"
        )
    return lines


def _ber(points: Sequence[Point]) -> list[str]:
    if not points:
        return []
    keys = dict.fromkeys(key for point in points for key in point.model_extra or ())
    rows = [
        [
            *(getattr(p, key, "") for key in keys),
            *(p.design, p.arithmetic, f"{p.launch_power_dbm:+g}", _interval(p), f"{p.snr_db:.2f}"),
        ]
        for p in best_points(points).values()
    ]
    header = [*keys, "design", "arithmetic", "best power (dBm)", "BER (95 % interval)", "SNR (dB)"]
    return [table(header, rows)]


def _constellations(folders: Sequence[Path]) -> list[str]:
    lines = []
    for folder in folders:
        path = folder / "constellation.npz"
        if path.is_file():
            drawn = []
            for title, symbols in read_npz(path).items():
                ax = plots.plot_constellation(symbols)
                ax.set(title=title, ylabel="Q")
                drawn.append(figure_of(ax, f"symbols: {title}"))
            lines.append(panels(drawn, "small"))
    return lines


def _filters(runs: Sequence[DesignRun]) -> list[str]:
    lines = []
    link = next((run.config.link for run in runs if run.config), None)
    if link:
        axes = [new_axes(3.8, 3.3) for _ in range(3)]
        plots.plot_filter_responses({run.name: run.design for run in runs}, link, axes)
        words = "taps", "gain", "phase error"
        drawn = zip(axes, words, strict=True)
        lines.append(panels([figure_of(ax, f"{what} of the middle filters") for ax, what in drawn]))
    for run in runs:
        if run.history:
            ax = plots.plot_learning_curve(run.history)
            lines.append(panels([figure_of(ax, f"learning of {run.name}")]))
    return lines


def _formats(runs: Sequence[DesignRun]) -> list[str]:
    if not runs:
        return []
    rows = []
    plain = {
        "polarisations": 1,
        "samples per symbol": 2,
        "K taps": 1,
        "power offset": 0,
        "Taylor order": 1,
        "guard bits": 0,
    }
    options = [
        option
        for option, value in plain.items()
        if any(_options(run.design)[option] - {value} for run in runs)
    ]
    for run in runs:
        design = run.design
        rotation = design.rotations[len(design.rotations) // 2] if design.rotations else None
        rows.append(
            [
                run.name,
                len(design.filters),
                _each({f.taps for f in design.filters}),
                _each({design.filter_input_bits(k) for k in range(len(design.filters))}),
                _each({f.coefficient_bits for f in design.filters}),
                rotation.branch_bits if rotation else "-",
                f"{rotation.phase_bits} ({rotation.phase_fraction_bits})" if rotation else "-",
                rotation.kerr_bits if rotation else "-",
                *(_each(_options(design)[option]) for option in options),
                f"{design.adc_rms_permille / 1000:g}",
                design.hash[:12],
            ]
        )
    header = ["design", "filters", "taps", "signal bits", "coefficient bits", "|x|² branch bits"]
    header += ["phase bits (fraction)", "K bits", *options, "ADC rms / full scale", "hash"]
    return [table(header, rows)]


def _options(design: Design) -> dict[str, AbstractSet[int | Fraction]]:
    """Return the options of the datapath, with the values in a design's rotations."""
    rotations = design.rotations
    return {
        "polarisations": {design.polarizations},
        "samples per symbol": {design.samples_per_symbol},
        "K taps": {rotation.kerr_taps for rotation in rotations},
        "power offset": {rotation.power_offset for rotation in rotations},
        "Taylor order": {rotation.taylor_order for rotation in rotations},
        "guard bits": {f.output_bits - design.signal_bits for f in design.filters[:-1]},
    }


def _each(values: AbstractSet[int | Fraction]) -> str:
    """Join the values of all filters or rotations of a design, the largest first."""
    return " / ".join(map(str, sorted(values, reverse=True))) or "-"


def _hardware(runs: Sequence[DesignRun]) -> list[str]:
    if not runs:
        return []
    lines = []
    simulated = [(run, run.sim) for run in runs if run.sim]
    if simulated:
        rows = [
            [
                run.name,
                sim.steps,
                sim.lanes,
                sim.latency_cycles or "varies",
                f"{sim.samples_compared:,}",
                sim.mismatches,
                sim.simulator,
                f"{len(run.proof.modules)} modules" if run.proof else "-",
            ]
            for run, sim in simulated
        ]
        header = ["RTL against golden", "steps", "lanes", "latency (clocks)", "samples compared"]
        header += ["mismatches", "simulator", "proved for all inputs"]
        lines.append(table(header, rows))
    else:
        lines.append('<p class="absent">The RTL was not simulated.</p>')
    kits = list(dict.fromkeys(kit for run in runs for kit in run.synth))
    for kit in kits:
        lines += _synthesis(kit, {run.name: run.synth[kit] for run in runs if kit in run.synth})
    if not kits:
        lines.append('<p class="absent">Area and power: absent, nothing was synthesised.</p>')
    return lines


def _synthesis(kit: str, synths: Mapping[str, SynthMetrics]) -> list[str]:
    """Return tables of area, power and timing in one kit; ``synths`` by the names of the runs."""
    header = [f"one step in {kit}", "step", "lanes", "area (µm²)", "cells"]
    header += [
        "power (mW)",
        "of it clock tree",
        "switching",
        "internal",
        "leakage",
        "gate-level mismatches",
    ]
    lines = [table(header, [_synthesis_row(name, synth) for name, synth in synths.items()])]
    header = [f"its timing in {kit}", "clock (MHz)", "slack (ns)", "without wires"]
    header.append("highest clock (MHz)")
    lines.append(table(header, [_timing_row(name, synth) for name, synth in synths.items()]))
    if any(synth.slack_ns < 0 for synth in synths.values()):
        lines.append(
            '<p class="absent">Negative slack: the clock is missed; activity is that of a '
            "clock slow enough, power is stated for the clock in the table.</p>"
        )
    if any(synth.for_demonstration_only for synth in synths.values()):
        lines.append(
            '<p class="absent">This kit is shipped for demonstration: its figures are no '
            "evidence.</p>"
        )
    if len(synths) == 2:
        lines.append(_ratio(*synths.values()))
    return lines


def _synthesis_row(name: str, synth: SynthMetrics) -> list[object]:
    power, tree = synth.power_w, synth.clock_tree_estimate_w
    return [
        name,
        synth.step,
        synth.lanes,
        f"{synth.cell_area_um2:,.0f}",
        f"{synth.cells:,}",
        f"{1e3 * power.total:.2f}",
        f"{1e3 * tree.total:.2f}" if tree else "-",
        *(f"{1e3 * w:.2f}" for w in (power.switching, power.internal, power.leakage)),
        synth.gate_level_mismatches,
    ]


def _timing_row(name: str, synth: SynthMetrics) -> list[object]:
    return [
        name,
        f"{synth.clock_mhz:g}",
        f"{synth.slack_ns:+.3f}",
        f"{synth.slack_without_wires_ns:+.3f}",
        f"{synth.highest_clock_mhz:.0f}",
    ]


def _ratio(first: SynthMetrics, second: SynthMetrics) -> str:
    if (first.lanes, first.step, first.clock_mhz) != (second.lanes, second.step, second.clock_mhz):
        return ""
    area = first.cell_area_um2 / second.cell_area_um2
    power = first.power_w.total / second.power_w.total
    return (
        f"<p>The first over the second: {area:.2f} in area, {power:.2f} in power. One step with "
        "an estimated clock tree; activity from a delay-annotated simulation with samples of the "
        "link at its input, not scaled to 28 nm.</p>"
    )


def _layouts(runs: Sequence[DesignRun]) -> list[str]:
    """Show the steps that were laid out: watts before and after, and where their lanes lie."""
    rows, drawn = [], []
    for run in runs:
        for kit, synth in run.synth.items():
            if (placed := synth.place_and_route) is None:
                continue
            watts = placed.routed.power_w if placed.routed else placed.power_w
            groups = placed.routed.groups if placed.routed else placed.groups
            rows.append(
                [
                    f"{run.name}, {kit}", synth.step, synth.lanes, placed.route,
                    f"{1e3 * synth.power_w.total:.2f}", f"{1e3 * watts.total:.2f}",
                    f"{1e3 * groups['clock'].power_w.total:.2f}",
                    f"{synth.slack_ns:+.3f}", f"{placed.slack_ns:+.3f}",
                ]
            )  # fmt: skip
            picture = run.folder / "synth" / kit / "place_and_route" / "place_and_route.svg"
            if picture.is_file():
                lanes = f"{synth.lanes} lane{'s' * (synth.lanes > 1)}"
                where = f"step {synth.step} of {run.name} in {kit}, {lanes}"
                words = f"layout of {where}: its cells coloured by lane"
                svg = image(picture.read_text("utf-8", "replace"), words)
                drawn += [f"<h3>{text(where[0].upper() + where[1:])}</h3>", wide(svg)]
    if not rows:
        return []
    header = ["laid out by OpenROAD", "step", "lanes", "routes", "mW before", "mW after"]
    header += ["of it clock tree", "slack before (ns)", "after"]
    return [table(header, rows), *drawn]


def _read_comparisons(folders: Sequence[Path]) -> list[ComparisonMetrics]:
    """Return the comparisons that `dbp compare` has written into these folders."""
    read = (read_metrics(folder / f"{merit.FILE}.json", ComparisonMetrics) for folder in folders)
    return [metrics for metrics in read if metrics is not None]


def _comparison(comparisons: Sequence[ComparisonMetrics]) -> list[str]:
    parts: list[str] = []
    for metrics in comparisons:
        lines = [f"<li>{text(line)}</li>" for line in tables.sentences(metrics)]
        if lines:
            parts.append(f"<ul>{''.join(lines)}</ul>")
        for found in tables.tables(metrics):
            header, *cells = found.lines
            parts += [f"<h3>{text(found.title)}</h3>", table(header, cells)]
            parts += [f"<p>{text(note)}</p>" for note in found.notes]
    return parts


def _published(runs: Sequence[DesignRun]) -> list[str]:
    """Show the paper's figures for designs of these taps and formats, on its link and process."""
    ber, power = (paper.rows(name) for name in ("paper_ber.csv", "paper_power.csv"))
    rows = []
    for run in runs:
        key = (merit.lengths(run.design), *merit.formats(run.design).split("/"))
        points = [row for row in ber if key == _published_key(row)]
        watts = [row for row in power if key == _published_key(row)]
        if points and watts:
            best = min(points, key=lambda row: float(row["ber"]))
            row = [run.name, best["ber"], f"{float(best['launch_power_dbm']):+g}"]
            rows.append([*row, watts[0]["power_w_per_step"], watts[0]["area_mm2_per_step"]])
    if not rows:
        return []
    header = ["formats of", "BER", "at (dBm)", "W per step", "mm² per step"]
    return [
        table(header, rows),
        "<p>Fougstedt et al., ECOC 2018 (from the authors' slides): BER on the paper's link, read "
        "off a plot; one step of 96 lanes at 416.7 MHz in a commercial 28-nm library.</p>",
    ]


def _published_key(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["taps_per_step"], row["coefficient_bits"], row["signal_bits"]


def _read_absent(folders: Sequence[Path]) -> dict[str, str]:
    """Return the stages that `dbp run` left out, and why; those that have run since are not."""
    absent: dict[str, str] = {}
    for folder in folders:
        path = folder / "absent.json"
        if not path.is_file():
            continue
        try:
            reasons = dict(json.loads(read_text(path)))
        except (ValueError, TypeError):
            raise InputError(f"{path}: must be an object of stages and reasons") from None
        absent |= {
            str(stage): str(reason)
            for stage, reason in reasons.items()
            if not (folder / stage / "metrics.json").is_file()
        }
    return absent


def _absent(absent: Mapping[str, str]) -> list[str]:
    items = "".join(f"<li>{text(stage)}: {text(why)}</li>" for stage, why in absent.items())
    return [f'<ul class="absent">{items}</ul>'] if items else []


def _provenance(runs: Sequence[DesignRun], evaluations: Sequence[BerMetrics]) -> list[str]:
    rows = []

    def add(name: str, stage: str, metrics: Metrics | None) -> None:
        if metrics:
            versions = ", ".join(f"{k} {v}" for k, v in metrics.versions.items())
            hashes = [(h or "-")[:12] for h in (metrics.design_hash, metrics.config_hash)]
            seed = "-" if metrics.seed is None else metrics.seed
            rows.append([f"{name}: {stage}", *hashes, seed, f"{metrics.wall_time_s:.1f}", versions])

    for run in runs:
        add(run.name, "train", run.train)
        add(run.name, "rtl", run.rtl)
        add(run.name, "proof", run.proof)
        add(run.name, "sim", run.sim)
        for kit, synth in run.synth.items():
            add(run.name, f"synth {kit}", synth)
    for evaluation in evaluations:
        add("all", "ber", evaluation)
    header = ["stage", "design", "configuration", "seed", "seconds", "versions"]
    return [f'<div class="small">{table(header, rows)}</div>']
