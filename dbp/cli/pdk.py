"""``dbp pdk``: list the design kits and where they are, or install one."""

from __future__ import annotations

from dbp.errors import MissingError


def pdk(kit_to_install: str | None) -> None:
    """List the kits and where each one is, or install one from its pinned commit."""
    from dbp.synthesis.cells import install, kits

    if kit_to_install is not None:
        folder = install.install(kit_to_install)
        license = install.SOURCES[kit_to_install].license
        print(f"{kit_to_install} (licence {license}) -> {folder}", flush=True)
        return
    for kit in kits.KITS.values():
        try:
            _, files = kits.find(kit.name)
            where = str(files[0].parent)
        except MissingError:
            where = f"not here: dbp pdk install {kit.name}"
        print(f"{kit.name:12}{kit.node_nm:4} nm  {where}")
