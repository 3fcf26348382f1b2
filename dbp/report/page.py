"""``report.html``: one page, without external references, over the designs of one or more runs."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from dbp.comparison import merit, paper
from dbp.config import Link
from dbp.datapath.design import Design
from dbp.errors import InputError
from dbp.records.provenance import Metrics, read_metrics
from dbp.records.schemas import (
    BerMetrics,
    ComparisonMetrics,
    Point,
    SynthMetrics,
    best_points,
)
from dbp.report import plots, tables
from dbp.report.contents import Contents, DesignRun
from dbp.support.files import read_npz, read_text, write_text
from dbp.support.svg import to_svg

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{margin-bottom:.2rem} h2{margin-top:2.2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .55rem;text-align:right;border-bottom:1px solid #e5e5e5}
th:first-child,td:first-child{text-align:left;white-space:nowrap} th{font-weight:600}
img{max-width:100%} .lead{font-size:1.1rem} .absent{color:#a00} code{font-size:.85em}
.small{font-size:.85rem;color:#555}
"""


def write_report(folders: Sequence[Path]) -> Path:
    """Write ``report.html`` into the first folder, over all designs found in ``folders``.

    A folder is a design's (it holds ``design.json``) or holds such folders, as `dbp run` makes
    them. Returns the page's path; `InputError` for folders and files that do not fit.
    """
    content = Contents.load(folders)
    runs, points = content.runs, content.points
    body = [
        *_introduction(content),
        *_ber(folders, points),
        *_constellations(folders),
        *_filters(runs),
        _formats(runs),
        *_hardware(runs),
        *_comparison(folders),
        *_published(runs),
        *_absent(folders),
        _provenance(runs, content.evaluations),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>dbp report</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    path = folders[0] / "report.html"
    write_text(path, page)
    return path


def _text(value: object) -> str:
    return html.escape(str(value))


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in header)
    lines = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _figure(figure: Figure, text: str) -> str:
    return _image(to_svg(figure), text)


def _image(svg: str, text: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return f'<p><img alt="{_text(text)}" src="data:image/svg+xml;base64,{data}"></p>'


def _interval(point: Point) -> str:
    return f"{point.ber:.2e} ({point.ber_low:.2e} .. {point.ber_high:.2e})"


def _introduction(content: Contents) -> list[str]:
    lines = ["<h1>Digital backpropagation: from filters to watts</h1>"]
    of_links: dict[Link, list[str]] = {}
    for run in content.runs:
        if run.config:
            of_links.setdefault(run.config.link, []).append(run.name)
    for link, names in of_links.items():
        whose = f"<b>{_text(', '.join(names))}</b>: " if len(of_links) > 1 else ""
        lines.append(
            f"<p>{whose}{link.spans} x {link.span_km:g} km, {link.symbol_rate_gbd:g} GBd "
            f"{link.modulation.upper()}, {link.dispersion_ps_per_nm_km:g} ps/nm/km, "
            f"{link.nonlinearity_per_w_km:g} /W/km, noise figure {link.noise_figure_db:g} dB; "
            "the receiver compensates dispersion and the Kerr effect in short fixed-point filters "
            "and rotations, in the time domain.</p>"
        )
    for run in content.runs:
        point = content.best_of(run)
        if point:
            lines.append(
                f'<p class="lead"><b>{_text(run.name)}</b>: BER {_interval(point)} in fixed point '
                f"at {point.launch_power_dbm:+g} dBm, its best of the tried launch powers "
                f"({point.errors} errors in {point.bits:.3g} bits, 95 % interval).</p>"
            )
    return lines


def _ber(folders: Sequence[Path], points: Sequence[Point]) -> list[str]:
    lines = ["<h2>Bit error ratio</h2>"]
    for folder in folders:
        drawing = folder / "ber.svg"
        if drawing.is_file():
            lines.append(_image(drawing.read_text("utf-8", "replace"), "BER against launch power"))
    if not points:
        return [*lines, '<p class="absent">Not evaluated.</p>']
    keys = dict.fromkeys(key for point in points for key in point.model_extra or ())
    rows = [
        [
            *(getattr(p, key, "") for key in keys),
            *(p.design, p.arithmetic, f"{p.launch_power_dbm:+g}", _interval(p), f"{p.snr_db:.2f}"),
        ]
        for p in best_points(points).values()
    ]
    header = [*keys, "design", "arithmetic", "best power (dBm)", "BER (95 % interval)", "SNR (dB)"]
    return [*lines, _table(header, rows)]


def _constellations(folders: Sequence[Path]) -> list[str]:
    lines = []
    for folder in folders:
        path = folder / "constellation.npz"
        if path.is_file():
            drawing = plots.constellations(read_npz(path))
            lines += ["<h2>Constellation before and after</h2>", _figure(drawing, "constellations")]
    return lines


def _filters(runs: Sequence[DesignRun]) -> list[str]:
    lines = []
    link = next((run.config.link for run in runs if run.config), None)
    if link:
        drawing = plots.filter_responses({run.name: run.design for run in runs}, link)
        lines += ["<h2>Filters</h2>", _figure(drawing, "filter responses")]
    for run in runs:
        if run.history:
            lines.append(_figure(plots.learning_curve(run.history), f"learning of {run.name}"))
    return lines


def _formats(runs: Sequence[DesignRun]) -> str:
    rows = []
    plain = {"K taps": 1, "power offset": 0, "Taylor order": 1, "guard bits": 0}
    options = [
        option
        for option, value in plain.items()
        if any(_options(run.design)[option] - {value} for run in runs)
    ]
    for run in runs:
        design = run.design
        middle = design.filters[len(design.filters) // 2]
        rotation = design.rotations[len(design.rotations) // 2] if design.rotations else None
        rows.append(
            [
                run.name,
                len(design.filters),
                _each({f.taps for f in design.filters}),
                design.signal_bits,
                middle.coefficient_bits,
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
    return "<h2>Formats</h2>" + _table(header, rows)


def _options(design: Design) -> dict[str, set[int]]:
    """Return the options of the datapath, with the values in a design's rotations."""
    rotations = design.rotations
    return {
        "K taps": {rotation.kerr_taps for rotation in rotations},
        "power offset": {rotation.power_offset for rotation in rotations},
        "Taylor order": {rotation.taylor_order for rotation in rotations},
        "guard bits": {f.output_bits - design.signal_bits for f in design.filters[:-1]},
    }


def _each(values: set[int]) -> str:
    """Join the values of all filters or rotations of a design, the largest first."""
    return " / ".join(map(str, sorted(values, reverse=True))) or "-"


def _hardware(runs: Sequence[DesignRun]) -> list[str]:
    lines = ["<h2>Hardware</h2>"]
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
        lines.append(_table(header, rows))
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
    header += ["power (mW)", "switching", "internal", "leakage", "gate-level mismatches"]
    lines = [_table(header, [_synthesis_row(name, synth) for name, synth in synths.items()])]
    header = [f"its timing in {kit}", "clock (MHz)", "slack (ns)", "without wires"]
    header.append("highest clock (MHz)")
    lines.append(_table(header, [_timing_row(name, synth) for name, synth in synths.items()]))
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
    power = synth.power_w
    return [
        name,
        synth.step,
        synth.lanes,
        f"{synth.cell_area_um2:,.0f}",
        f"{synth.cells:,}",
        *(f"{1e3 * w:.2f}" for w in (power.total, power.switching, power.internal, power.leakage)),
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
        f"<p>The first over the second: {area:.2f} in area, {power:.2f} in power. One step without "
        "a clock tree; activity from a delay-annotated simulation with samples of the link at its "
        "input, not scaled to 28 nm.</p>"
    )


def _comparison(folders: Sequence[Path]) -> list[str]:
    """Show the comparisons that `dbp compare` has written into these folders."""
    parts: list[str] = []
    for folder in folders:
        metrics = read_metrics(folder / f"{merit.FILE}.json", ComparisonMetrics)
        if metrics is None:
            continue
        parts.append("<h2>Receivers beside each other</h2>")
        lines = [f"<li>{_text(line)}</li>" for line in tables.sentences(metrics)]
        if lines:
            parts.append(f"<ul>{''.join(lines)}</ul>")
        parts.append(_figure(plots.comparison(metrics.rows), "BER against watts"))
        for table in tables.tables(metrics):
            header, *cells = table.lines
            parts += [f"<h3>{_text(table.title)}</h3>", _table(header, cells)]
            parts += [f"<p>{_text(note)}</p>" for note in table.notes]
    return parts


def _published(runs: Sequence[DesignRun]) -> list[str]:
    """Show the paper's figures for designs of these taps and formats, on its link and process."""
    ber, power = (paper.rows(name) for name in ("paper_ber.csv", "paper_power.csv"))
    rows = []
    for run in runs:
        middle = run.design.filters[len(run.design.filters) // 2]
        formats = (middle.taps, middle.coefficient_bits, run.design.signal_bits)
        key = tuple(str(value) for value in formats)
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
        "<h2>What the paper reports for these formats</h2>",
        _table(header, rows),
        "<p>Fougstedt et al., ECOC 2018 (from the authors' slides): BER on the paper's link, read "
        "off a plot; one step of 96 lanes at 416.7 MHz in a commercial 28-nm library.</p>",
    ]


def _published_key(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["taps_per_step"], row["coefficient_bits"], row["signal_bits"]


def _absent(folders: Sequence[Path]) -> list[str]:
    lines = []
    for folder in folders:
        path = folder / "absent.json"
        if not path.is_file():
            continue
        try:
            reasons = dict(json.loads(read_text(path)))
        except (ValueError, TypeError):
            raise InputError(f"{path}: must be an object of stages and reasons") from None
        # A stage that has run since then is no longer absent.
        items = "".join(
            f"<li>{_text(stage)}: {_text(reason)}</li>"
            for stage, reason in reasons.items()
            if not (folder / stage / "metrics.json").is_file()
        )
        if items:
            lines.append(f'<h2>Absent</h2><ul class="absent">{items}</ul>')
    return lines


def _provenance(runs: Sequence[DesignRun], evaluations: Sequence[BerMetrics]) -> str:
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
    return f'<h2>Provenance</h2><div class="small">{_table(header, rows)}</div>'
