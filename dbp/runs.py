"""What lies in a run's folder, and where designs and configurations are found by name."""

from __future__ import annotations

import contextlib
import os
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from dbp import config
from dbp.config import Config
from dbp.datapath import golden, shipped
from dbp.datapath.design import Design, launch_power_uw
from dbp.datapath.stimulus import Stimulus, StimulusSource
from dbp.errors import InputError, shown
from dbp.support.files import is_file, write_text

if TYPE_CHECKING:
    from dbp.learning.float_filters import FloatFilters


def read_config(name_or_path: str, seed: int | None) -> Config:
    """The configuration of that name, with another seed if one is given."""
    loaded = config.load(name_or_path)
    return loaded if seed is None else loaded.model_copy(update={"seed": seed})


def find_design(name_or_path: str) -> tuple[Design, Path | None]:
    """A shipped design, or a ``design.json``, or that of a run's folder; and the folder, if any."""
    designs = shipped.designs()
    path = Path(name_or_path)
    if name_or_path in designs:
        return designs[name_or_path], None
    if not is_file(path):
        path /= "design.json"
    if not is_file(path):
        raise InputError(
            f"design {shown(name_or_path)}: neither a design.json nor a run's folder nor a shipped "
            f"design ({', '.join(designs) or 'none'})"
        )
    return Design.load(path), path.parent


def float_filters(name: str, folder: Path | None) -> FloatFilters:
    """The filters in floating point of a design that `find_design` has found under that name."""
    from dbp.learning.float_filters import FloatFilters

    file = folder / "train" / "float.npz" if folder else shipped.FOLDER / f"{name}.npz"
    if not file.is_file():
        missing = "train/float.npz" if folder else file.name
        raise InputError(f"{name}: no {missing} beside it: --arithmetic fixed only")
    with resources.as_file(file) as path:
        return FloatFilters.load(path)


def config_of(folder: Path | None) -> Config:
    """The configuration that a design's folder was made with; the paper's where it has none."""
    toml = folder / "config.toml" if folder else None
    # A link to nowhere or a folder of that name is no reason to take another configuration.
    return config.load(str(toml) if toml and os.path.lexists(toml) else "paper")


def place(design: Design, settings: Config, out: Path) -> None:
    """Put a design and its configuration into a run's folder.

    What later stages made there of another design or configuration is removed.
    """
    text = settings.to_toml()
    place, toml = out / "design.json", out / "config.toml"
    if place.is_file() or toml.is_file():
        same = place.is_file() and place.read_bytes() == design.to_json().encode()
        if not same or not toml.is_file() or toml.read_bytes() != text.encode():
            for stage in ("rtl", "sim", "proof", "synth"):
                shutil.rmtree(out / stage, ignore_errors=True)
    design.save(place)
    write_text(toml, text)


def make_stimulus(folder: Path, design: Design, settings: Config, at_least: int = 0) -> None:
    """Simulate the link and write its converter samples to ``folder/stimulus.npz``.

    The configuration states the number of samples; there are ``at_least`` if that is more.
    """
    from dbp.link import transmission

    config.require_one_polarization(settings.link, "a chip's stimulus")
    power_dbm = settings.training.launch_power_dbm
    count = max(2 * settings.hardware.stimulus_symbols, at_least)
    blocks = -(-count // (2 * settings.link.block_symbols))
    received = transmission.simulate(
        settings.link, power_dbm, blocks, seed=settings.seed, purpose="stimulus"
    )
    samples = golden.convert(received.waveform.reshape(-1)[:count], design)
    power_uw = launch_power_uw(power_dbm)
    stimulus = Stimulus(samples, power_uw, design.hash, settings.hash, settings.seed)
    stimulus.save(folder / "stimulus.npz")


def stimulus_source(run_folder: Path) -> StimulusSource:
    """The stimulus of a run's design: its ``stimulus.npz``, or a new simulation of its link.

    The source simulates where the file is missing, damaged or too short, or was made for another
    design or configuration, and writes the file. Called with 0 it returns the number of samples
    that the configuration states.
    """

    def source(samples: int) -> Stimulus:
        design, settings = Design.load(run_folder / "design.json"), config_of(run_folder)
        file = run_folder / "stimulus.npz"
        with contextlib.suppress(InputError):
            kept = Stimulus.load(file, design)
            if kept.config_hash == settings.hash and len(kept.samples.i) >= samples:
                return kept
        print(f"Simulating the link for {file}", flush=True)
        make_stimulus(run_folder, design, settings, samples)
        return Stimulus.load(file, design)

    return source
