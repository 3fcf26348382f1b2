"""``dbp pdk install``: a kit's Liberty files, from a pinned public commit into the cache.

The checksums are those of the uncompressed content, whatever the compression of the file fetched.
A kit appears in the cache whole or not at all.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import secrets
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from dbp.errors import InputError, ToolError
from dbp.support import locks
from dbp.support.files import write_bytes
from dbp.support.text import did_you_mean
from dbp.synthesis.cells import kits
from dbp.synthesis.cells.liberty_syntax import MAX_BYTES

TIMEOUT_S = 60
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Source:
    """A commit's folder of Liberty files: ``files`` maps each name to the SHA-256 of its content,
    unpacked where the name ends in ``.gz``."""

    folder: str
    license: str
    files: Mapping[str, str]


_OPENSTA = (
    "https://raw.githubusercontent.com/The-OpenROAD-Project/OpenSTA/"
    "d1b2b3962cd47539c748bb163da5de2bd5d2f85f/examples"
)
_FLOW = (
    "https://raw.githubusercontent.com/The-OpenROAD-Project/OpenROAD-flow-scripts/"
    "8c009b0b663703fc3fe2f474eab918b12fffbaf6/flow/platforms"
)

SOURCES: Mapping[str, Source] = {
    "nangate45": Source(
        _OPENSTA,
        "Apache-2.0",
        {
            "nangate45_typ.lib.gz": (
                "2efd0b32eb580e4e60e72fc0575bb3bc69aac907c91d908442e4ae6d7fe55895"
            )
        },
    ),
    "asap7": Source(
        f"{_FLOW}/asap7/lib/NLDM",
        "BSD-3-Clause",
        {
            "asap7sc7p5t_AO_RVT_TT_nldm_211120.lib.gz": (
                "b1ece108c0a2acd8d01c05cee6daee2834425037b1d9aad625d6f1dd640f1940"
            ),
            "asap7sc7p5t_INVBUF_RVT_TT_nldm_220122.lib.gz": (
                "a4ceb32e418e1aac8667e28fbd8e9e46baf520180be4db075598a4d7c681a56e"
            ),
            "asap7sc7p5t_OA_RVT_TT_nldm_211120.lib.gz": (
                "6529c6c72465cd133dfbfb03952327ab2774bb6aa4be866d78fd7bc6c58c9f6f"
            ),
            "asap7sc7p5t_SEQ_RVT_TT_nldm_220123.lib": (
                "57a0b403485b99ebd676942af4673ac086b86c7c75fbdc3e5c0038501dd22ba3"
            ),
            "asap7sc7p5t_SIMPLE_RVT_TT_nldm_211120.lib.gz": (
                "fa92e6ab1481810602811b1eea54bc016a341f11fb5188d7512c026599adf038"
            ),
        },
    ),
    "sky130hd": Source(
        _OPENSTA,
        "Apache-2.0",
        {
            "sky130hd_tt.lib.gz": (
                "70a45bf9b5ea8f6a701dc34744b5c767b38e1af31b1d1f97309a97ec64603ecf"
            )
        },
    ),
    "ihp-sg13g2": Source(
        f"{_FLOW}/ihp-sg13g2/lib",
        "Apache-2.0",
        {
            "sg13g2_stdcell_typ_1p20V_25C.lib": (
                "968b0cfdcefc49a88d9a5c48874769eaad9aba3509e1240b5e14a821bb07a3c4"
            )
        },
    ),
    "gt2n": Source(
        f"{_FLOW}/gt2n/lib",
        "BSD-3-Clause",
        {
            "gt2_6t_w31_lvt_tt_0p7v25c.lib": (
                "64301c8a4845e9fc4c6f128901db48ff3ca39437e7242ae660a2ebf69efe0bbc"
            )
        },
    ),
}


def install(name: str, sources: Mapping[str, Source] = SOURCES) -> Path:
    """Fetch a kit into the cache and return its folder; an earlier copy is replaced.

    `InputError` for a name that cannot be installed; `ToolError` where a file cannot be fetched or
    differs from the pinned one. The cache is then as it was.
    """
    if name not in sources:
        hint = did_you_mean(name, sources)
        raise InputError(f"kit {name!r}: must be one of {', '.join(sources)}{hint}")
    source, target = sources[name], kits.installed(name)
    with locks.writing(target.parent):
        # Of an installation that was killed: nobody else writes here now.
        for left in target.parent.glob(f".{name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        # In the same folder as its final place, so that a rename can move it there.
        half = target.with_name(f".{name}.{secrets.token_hex(8)}")
        try:
            for file, checksum in source.files.items():
                content = _fetch(f"{source.folder}/{file}")
                _check(file, content, checksum)
                write_bytes(half / "new" / file, content)
            if target.exists():
                target.rename(half / "old")
            (half / "new").rename(target)
        finally:
            shutil.rmtree(half, ignore_errors=True)
    return target


def _fetch(url: str) -> bytes:
    """Return the body of a web address; `ToolError` in one line where it does not arrive whole."""
    content = io.BytesIO()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            size = answer.length
            name = url.rsplit("/", 1)[1]
            with tqdm(
                total=size, desc=name, unit="B", unit_scale=True, disable=None, leave=False
            ) as bar:
                while chunk := answer.read(_CHUNK):
                    content.write(chunk)
                    bar.update(len(chunk))
                    if content.tell() > MAX_BYTES:
                        raise ToolError(f"{url}: more than {MAX_BYTES >> 20} MiB")
    except urllib.error.HTTPError as error:
        with error:
            raise ToolError(f"{url}: cannot be fetched: HTTP {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ToolError(f"{url}: cannot be fetched: {reason}") from None
    if size is not None and content.tell() != size:
        raise ToolError(f"{url}: ended after {content.tell()} of {size} bytes: try again")
    return content.getvalue()


def _check(name: str, fetched: bytes, checksum: str) -> None:
    """Compare the checksum of a file's uncompressed content; `ToolError` where it differs."""
    digest = hashlib.sha256()
    try:
        stream = io.BytesIO(fetched)
        with gzip.open(stream) if name.endswith(".gz") else stream as content:
            read = 0
            while chunk := content.read(1 << 20):
                digest.update(chunk)
                read += len(chunk)
                if read > MAX_BYTES:
                    raise ToolError(f"{name}: more than {MAX_BYTES >> 20} MiB unpacked")
    except (OSError, EOFError, zlib.error) as error:
        raise ToolError(f"{name}: not a gzip file as pinned: {error}") from None
    if digest.hexdigest() != checksum:
        raise ToolError(f"{name}: SHA-256 {digest.hexdigest()}: must be {checksum}")
