"""Make small stores of the layouts of LabPtPTm1 and LabPtPTm2 from our simulation of their links.

    python benchmarks/public_recordings.py FOLDER [SYMBOLS]

FOLDER/labptptm1_zarr and FOLDER/labptptm2_zarr hold what the public stores hold of one capture,
with the same names, attributes, types and compression (Zarr format 2; the extra ``zarr``): what
reads the one reads the other. The symbols are ours, and so is the fibre.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from dbp import config
from dbp.link import transmission
from dbp.waveforms.recording import Recording

CHUNK = 140_625
# As a capture of an oscilloscope has it, in volts.
SCALE = 0.025
LAUNCH_POWERS_DBM = {"labptptm1": -2.0, "labptptm2": 0.0}


def simulated(link: config.Link, launch_power_dbm: float, symbols: int) -> Recording:
    """One circular block of the link."""
    one_block = config.link_with(link, {"block_symbols": symbols})
    received = transmission.simulate(one_block, launch_power_dbm, 1, seed=1, purpose="evaluate")
    return Recording(
        received.waveform[0].astype(np.complex128),
        *(one_block.adc_rate, 1e9 * one_block.symbol_rate_gbd, one_block.roll_off),
        *(launch_power_dbm, one_block.modulation, received.symbols[0].astype(np.complex128)),
    )


def write_labptptm1(store: Path, recording: Recording, link: config.Link) -> Path:
    """Attributes of the link are those of the group above the captures; returns the capture."""
    above, power_dbm = "815km_SSMF/DP16QAM_RRC0.2_28GBd_1ch", recording.launch_power_dbm
    name = f"{above}/LP{round(10 * power_dbm)}_1"
    root = zarr.open_group(store, mode="w", zarr_format=2)
    root.require_group(above).attrs.update(_of_link(recording, link))
    _write(root.require_group(name), recording, _of_power(power_dbm))
    zarr.consolidate_metadata(store, zarr_format=2)
    return store / name


def write_labptptm2(store: Path, recording: Recording, link: config.Link) -> Path:
    """All attributes are those of the capture, with more below ``supdata``; returns the capture."""
    name = f"src1/{recording.launch_power_dbm:g}dBm_ch4_1"
    root = zarr.open_group(store, mode="w", zarr_format=2)
    attributes = {"channelindex": 4, "channels": 7, "srcid": "src1"}
    attributes |= _of_power(recording.launch_power_dbm) | _of_link(recording, link)
    _write(root.require_group(f"1125km_SSMF/{name}"), recording, attributes)
    beside = root.require_group(f"supdata/{name}")
    length_km = link.spans * link.span_km
    # ps/nm in s/m.
    beside.attrs.update({"cd": 1e-3 * link.dispersion_ps_per_nm_km * length_km})
    _array(beside, "nfo", np.zeros(8))
    zarr.consolidate_metadata(store, zarr_format=2)
    return store / "1125km_SSMF" / name


def _of_link(recording: Recording, link: config.Link) -> dict[str, Any]:
    baud = recording.symbol_rate_baud
    return {
        "baudrate": baud,
        "samplerate": baud * float(recording.samples_per_symbol),
        "distance": 1e3 * link.spans * link.span_km,
        "spans": link.spans,
        "modformat": (recording.modulation or "").upper(),
        "polmux": recording.polarizations - 1,
    }


def _of_power(power_dbm: float) -> dict[str, Any]:
    return {"lpdbm": power_dbm, "lpw": 1e-3 * 10 ** (power_dbm / 10)}


def _write(group: zarr.Group, recording: Recording, attributes: Mapping[str, Any]) -> None:
    group.attrs.update(dict(attributes))
    sent = np.asarray(recording.symbols)
    # Odd integers.
    sent = np.round(sent / np.abs(sent.real).min()).astype(np.complex64)
    _array(group, "recv", (SCALE * recording.waveform).astype(np.complex64).T)
    _array(group, "sent", sent.T)


def _array(group: zarr.Group, name: str, values: np.ndarray) -> None:
    chunks = (min(CHUNK, len(values)), 1)[: values.ndim]
    lz4 = Blosc(cname="lz4", clevel=5, shuffle=Blosc.SHUFFLE)
    group.create_array(name, data=np.ascontiguousarray(values), chunks=chunks, compressors=lz4)


def main(folder: Path, symbols: int = 65_536) -> None:
    for name, write in (("labptptm1", write_labptptm1), ("labptptm2", write_labptptm2)):
        link = config.load(name).link
        recording = simulated(link, LAUNCH_POWERS_DBM[name], symbols)
        print(write(folder / f"{name}_zarr", recording, link))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]))
