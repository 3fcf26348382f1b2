"""``dbp run``: every stage, for the learned design and the baseline, side by side."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dbp.cli.ber import DATABASE, Request, ber
from dbp.cli.prove import prove
from dbp.cli.rtl import rtl
from dbp.cli.sim import sim
from dbp.cli.synth import synth
from dbp.cli.train import baseline, train
from dbp.config import Config
from dbp.datapath.design import Design
from dbp.errors import DbpError, InputError, MissingError
from dbp.evaluation.executors import Workplace
from dbp.runs import config_of, stimulus_source
from dbp.support import locks, threads, worker_processes
from dbp.support.files import write_json

Job = tuple[Callable[..., None], tuple[Any, ...]]


def run(settings: Config, out: Path, device: str = "cpu") -> None:
    """Take a learned design and the baseline through every stage, and write one report over both.

    A stage that lacks a tool is left out and named in the report, as is a missing kit, which the
    shipped one replaces. A stage that fails does not stop the others, but makes the
    whole run fail in the end.
    """
    if settings.link.modulation == "gaussian":
        raise InputError("link.modulation = 'gaussian': has no bits to count: use dbp train")
    folders = out / "learned", out / "baseline"
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(locks.writing(folder))
        _stages(settings, out, folders, device)


def _stages(settings: Config, out: Path, folders: tuple[Path, Path], device: str) -> None:
    train(settings, folders[0], device)
    baseline(settings, folders[1])
    request = Request(
        designs=[*(str(folder) for folder in folders), "linear"],
        config=str(folders[0] / "config.toml"),
        arithmetic="both",
    )
    ber(request, out, Workplace(out / DATABASE, resume=True, again="the same command goes on"))
    jobs: dict[str, Job] = {}
    kit, instead = _kit_or_shipped(settings.hardware.pdk)
    for folder in folders:
        # Here, since two of the jobs would simulate the link at the same time.
        stimulus_source(folder)(0)
        jobs[f"{folder.name}/sim"] = (_emit_prove_simulate, (folder,))
        jobs[f"{folder.name}/synth/{kit}"] = (synth, (folder, kit, None, None))
    missing, failed = _run_all(jobs)
    missing |= instead
    write_json(out / "absent.json", missing | failed)
    from dbp.report.contents import summary
    from dbp.report.page import write_report

    page = write_report([out])
    print(summary(out))
    for name, reason in (missing | failed).items():
        print(f"absent: {name}: {reason}")
    print(f"Report -> {page}", flush=True)
    if failed:
        raise DbpError(f"failed: {', '.join(failed)}: see {page}")


def _kit_or_shipped(name: str) -> tuple[str, dict[str, str]]:
    """Return the configured kit, or the shipped one and the reason where that kit is missing."""
    from dbp.synthesis.cells import kits

    try:
        kits.find(name)
    except MissingError as error:
        reason = f"{error}; {kits.SHIPPED} stands in: for demonstration, no evidence"
        return kits.SHIPPED, {f"synth/{name}": reason}
    return name, {}


def _emit_prove_simulate(folder: Path) -> None:
    from dbp.rtl import Target

    target = Target(config_of(folder).hardware.lanes)
    rtl(Design.load(folder / "design.json"), folder, folder, target)
    prove(folder, None)
    sim(folder, None, False)


def _run_all(jobs: dict[str, Job]) -> tuple[dict[str, str], dict[str, str]]:
    """Run jobs in processes, as many at a time as there are cores.

    Returns the reasons of those that lacked a tool or a kit, and of those that failed.
    """
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    with worker_processes.pool(min(len(jobs), threads.cores())) as pool:
        running = {name: pool.submit(job, *arguments) for name, (job, arguments) in jobs.items()}
        for name, job in running.items():
            try:
                job.result()
            except MissingError as error:
                missing[name] = str(error)
            except Exception as error:  # whatever ended one job, the others and the report go on
                failed[name] = f"{type(error).__name__}: {error}"
    return missing, failed
