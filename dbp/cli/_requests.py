"""What a user wishes of an evaluation, and the plan that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dbp import config
from dbp.comparison import paper
from dbp.config import Config
from dbp.config.sweep import links
from dbp.datapath.design import REFERENCE_EXAMPLES
from dbp.errors import InputError
from dbp.runs import (
    FoundDesign,
    config_of,
    differences,
    find_design,
    float_filters,
    labels_of,
    link_of,
    read_config,
    settings_of,
)

if TYPE_CHECKING:
    from dbp.evaluation.groups import Detection
    from dbp.evaluation.plan import EvaluationPlan

# The key of the launch powers to count at.
POWERS = "evaluation.launch_power_dbm"

# Modules that load torch are imported where they are needed: --help stays quick.


@dataclass(frozen=True)
class Request:
    """The wishes of a user for an evaluation; the configuration supplies what is None or empty.

    ``designs``: names, files or run folders, and names of reference receivers. ``config``: the name
    or file of a configuration, for all; None: each design has the link of its own run folder or, a
    shipped one, of its preset, and the launch powers of the first on that link; all else comes from
    the first run folder. ``sweep``: values of keys
    of the link, over those of the configuration's ``[sweep]``; with ``sweep=None`` nothing is
    swept, not even what the configuration says. ``receiver``: who finds the symbols behind the
    designs.
    """

    designs: Sequence[str] = ()
    launch_powers_dbm: Sequence[float] | None = None
    config: str | None = None
    arithmetic: str = "fixed"
    seed: int | None = None
    sweep: Mapping[str, tuple[Any, ...]] | None = None
    min_errors: int | None = None
    max_bits: int | None = None
    receiver: Detection = "genie"


@dataclass(frozen=True)
class _Settled:
    """The configuration of an evaluation, and what differs from it in those of single designs.

    ``links``: of each design that does not follow ``settings``. ``launch_powers_dbm``: of each link
    that has its own. ``notes``: what else its configuration has otherwise.
    """

    settings: Config
    links: Mapping[str, config.Link]
    launch_powers_dbm: Mapping[config.Link, tuple[float, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    one_configuration: bool = True


def resolve(request: Request) -> EvaluationPlan:
    """Return the plan of an evaluation: every setting from the first source that has it.

    Sources, in their order: the request, the ``[sweep]`` table, the other tables of the
    configuration. Reads configurations and designs, writes nothing.
    """
    from dbp.evaluation.receivers import is_reference

    given = config.load(request.config) if request.config else None
    sweep_of_file = given.sweep if given else {}
    names = list(request.designs)
    names = names or list({**sweep_of_file, **(request.sweep or {})}.get("design", ()))
    if not names:
        raise InputError("dbp ber: must have DESIGN..., --reproduce or a [sweep] with design")
    designs = {
        name: find_design(name, REFERENCE_EXAMPLES) for name in names if not is_reference(name)
    }
    settled = _given(given, designs) if given else _settle(request, designs)
    settings = settled.settings
    swept: Mapping[str, Any] = {}
    if request.sweep is not None:
        settings = config.with_sweep(settings, {**settings.sweep, **request.sweep})
        swept = settings.sweep
    if request.seed is not None:
        settings = settings.model_copy(update={"seed": request.seed})
    kinds = ("fixed", "float") if request.arithmetic == "both" else (request.arithmetic,)
    receivers = [
        (name, kind) for name in names for kind in (kinds if name in designs else ("float",))
    ]
    request = replace(
        request,
        launch_powers_dbm=request.launch_powers_dbm or swept.get("launch_power_dbm"),
    )
    return _plan(request, receivers, designs, replace(settled, settings=settings), swept)


def resolve_reproduction(request: Request, curves: Sequence[paper.Curve]) -> EvaluationPlan:
    """Return the plan that has our receiver for every curve of the paper's BER."""
    settings = read_config(request.config or "paper", request.seed)
    if settings.link.modulation != paper.MODULATION:
        raise InputError(
            f"link.modulation = {settings.link.modulation!r}: must be that of the paper, "
            f"{paper.MODULATION!r}"
        )
    receivers = [(curve.receiver, curve.arithmetic) for curve in curves]
    designs = {name: find_design(name) for name, _ in receivers if name != "linear"}
    return _plan(request, receivers, designs, _given(settings, designs), {})


def _given(settings: Config, designs: Mapping[str, FoundDesign]) -> _Settled:
    """All designs have one configuration, but each its own samples per symbol and polarisations."""
    links = {
        name: config.for_design(settings.link, design.samples_per_symbol, design.polarizations)
        for name, (design, _) in designs.items()
    }
    return _Settled(settings, links)


def _settle(request: Request, designs: Mapping[str, FoundDesign]) -> _Settled:
    """Each design keeps its link, with its own converter, and that link its launch powers.

    The rest is that of the first run, or of the first design where all are shipped ones.
    """
    own = {name: settings_of(*found) for name, found in designs.items()}
    links = {name: link_of(*found) for name, found in designs.items()}
    runs = [name for name, (_, folder) in designs.items() if folder is not None]
    ordered = [*runs, *(name for name in designs if name not in runs)]
    settings = own[ordered[0]] if ordered else config_of(None)
    # The design whose launch powers are those of a link.
    leading = {links[name]: name for name in reversed(ordered)}
    labels = labels_of(designs)
    given = {
        "seed": request.seed,
        POWERS: request.launch_powers_dbm,
        "evaluation.min_errors": request.min_errors,
        "evaluation.max_bits": request.max_bits,
    }
    open_keys = [key for key, value in given.items() if value is None]
    notes = []
    for name in runs[1:]:
        for whose, keys in (
            (runs[0], [key for key in open_keys if key != POWERS]),
            (leading[links[name]], [key for key in open_keys if key == POWERS]),
        ):
            notes += [
                f"{labels[name]}: its configuration has {key} = {theirs}: counted with {ours}, "
                f"as that of {labels[whose]}"
                for key, ours, theirs in differences(own[whose], own[name])
                if key in keys
            ]
    return _Settled(
        settings,
        links,
        {link: own[name].evaluation.launch_power_dbm for link, name in leading.items()},
        tuple(notes),
        len({each.hash for each in own.values()}) < 2,
    )


def _plan(
    request: Request,
    receivers: Sequence[tuple[str, str]],
    designs: Mapping[str, FoundDesign],
    settled: _Settled,
    swept: Mapping[str, Sequence[Any]],
) -> EvaluationPlan:
    """Return a plan for ``receivers``, names and arithmetics; no design: a reference."""
    from dbp.evaluation.counting import Rule
    from dbp.evaluation.plan import Candidate, EvaluationPlan

    settings = settled.settings
    evaluation = settings.evaluation
    swept_links = [links(link, swept) for link in _bases(settled)]
    numbered, links_of = _numbered(_bases(settled), swept_links)
    labels = labels_of(designs) | {name: name for name, _ in receivers if name not in designs}
    candidates = []
    for name, arithmetic in receivers:
        if name not in designs:
            candidates.append(Candidate(labels[name], arithmetic))
            continue
        design, folder = designs[name]
        filters = float_filters(name, folder) if arithmetic == "float" else None
        of_design = links_of.get(settled.links[name]) if name in settled.links else None
        candidates.append(Candidate(labels[name], arithmetic, design, filters, of_design))
    own_powers = {} if request.launch_powers_dbm else settled.launch_powers_dbm
    return EvaluationPlan(
        candidates=tuple(candidates),
        links=numbered,
        launch_powers_dbm=tuple(request.launch_powers_dbm or evaluation.launch_power_dbm),
        rule=Rule(
            request.min_errors or evaluation.min_errors, request.max_bits or evaluation.max_bits
        ),
        seed=settings.seed,
        config_hash=settings.hash if settled.one_configuration else None,
        remarks=settled.notes,
        detection=request.receiver,
        own_launch_powers_dbm={
            number: powers for link, powers in own_powers.items() for number in links_of[link]
        },
    )


def _bases(settled: _Settled) -> list[config.Link]:
    """The links before a sweep, each once."""
    return list(dict.fromkeys(settled.links.values())) or [settled.settings.link]


Swept = tuple[Mapping[str, Any], config.Link]


def _numbered(
    bases: Sequence[config.Link], swept: Sequence[Sequence[Swept]]
) -> tuple[tuple[Swept, ...], dict[config.Link, tuple[int, ...]]]:
    """Return all links, each once, with what tells them apart, and for each base its numbers.

    What tells them apart are the keys of the sweep, and those in which the bases differ.
    """
    values = [config.flat_link(base) for base in bases]
    differing = [key for key in values[0] if len({repr(each[key]) for each in values}) > 1]
    numbers: dict[config.Link, int] = {}
    changes: list[Swept] = []
    links_of = {}
    for base, of_base in zip(bases, swept, strict=True):
        own = []
        for change, link in of_base:
            if link not in numbers:
                numbers[link] = len(changes)
                flat = config.flat_link(link)
                told = {key: flat[key] for key in differing if key not in change}
                changes.append((dict(change) | told, link))
            own.append(numbers[link])
        links_of[base] = tuple(dict.fromkeys(own))
    return tuple(changes), links_of
