"""``dbp link``: simulate the link and write its waveform as a file."""

from __future__ import annotations

from pathlib import Path

from dbp import config
from dbp.config import Config
from dbp.support import untrusted_files
from dbp.waveforms.recording import Recording, write_recording


def link(settings: Config, launch_power_dbm: float | None, symbols: int, out: Path) -> None:
    """Simulate one circular block of ``symbols`` symbols over the link and write it as a file."""
    from dbp.link.transmission import simulate

    untrusted_files.check_suffix(out)
    if launch_power_dbm is None:
        launch_power_dbm = settings.training.launch_power_dbm
    one_block = config.link_with(settings.link, {"block_symbols": symbols})
    received = simulate(one_block, launch_power_dbm, 1, seed=settings.seed, purpose="evaluate")
    recording = Recording(
        waveform=received.waveform[0],
        samples_per_symbol=one_block.adc_rate,
        symbol_rate_baud=1e9 * one_block.symbol_rate_gbd,
        roll_off=one_block.roll_off,
        launch_power_dbm=launch_power_dbm,
        modulation=one_block.modulation,
        symbols=received.symbols[0],
    )
    write_recording(out, recording)
    each = " in each of two polarisations" if recording.polarizations == 2 else ""
    print(
        f"{symbols} symbols of {one_block.modulation}{each} at {launch_power_dbm:+g} dBm, "
        f"seed {settings.seed} -> {out}",
        flush=True,
    )
