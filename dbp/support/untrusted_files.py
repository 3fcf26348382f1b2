"""Read arrays and texts that others wrote: ``.npz``, MATLAB's ``.mat``, HDF5, and groups of Zarr.

The libraries that read MATLAB and HDF5 files may crash, hang or fill the memory on a damaged one.
So a child process (``python -m dbp.support.untrusted_files FILE NAME...``) reads every file, within
limits of time and memory, and hands over plain arrays. Whatever happens to the child is one
`InputError` here.
"""

from __future__ import annotations

import io
import math
import os
import sys
import warnings
import zipfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dbp.errors import InputError
from dbp.support import processes

SUFFIXES = (".npz", ".mat", ".h5", ".hdf5")
MAX_BYTES = 1 << 29
# On top of what the process takes before it reads.
MEMORY_BYTES = 4 * MAX_BYTES
TIME_LIMIT_S = 120.0
# From the network.
REMOTE_TIME_LIMIT_S = 3600.0

Fields = dict[str, np.ndarray]

_SAVE_V7 = "write it with `save -v7`"
_NAMED = "write arrays with names, as numpy.savez or MATLAB's save do"
# What else people bring, by the end of its name.
_FOREIGN = {
    f"one array of numpy without a name, {_NAMED}": (".npy",),
    f"a text, {_NAMED}": (".csv", ".txt", ".tsv", ".dat", ".asc", ".json"),
    f"sound, {_NAMED}": (".wav", ".flac"),
    f"bare samples, {_NAMED}": (".bin", ".raw", ".iq", ".cfile", ".fc32", ".sc16", ".sigmf-data"),
    f"pickled objects, which may run code, {_NAMED}": (".pkl", ".pickle", ".pt", ".joblib"),
}
# And by its content, where its name promises something else. HDF5 may begin later: see `_read_mat`.
_BEGINNINGS = {
    b"# Created by Octave": f"a text file of Octave: {_SAVE_V7}",
    b"# name:": f"a text file of Octave: {_SAVE_V7}",
    b"Octave-1-": f"a binary file of Octave: {_SAVE_V7}",
    b"\x1f\x8b": f"compressed by gzip: unpack it, or in Octave {_SAVE_V7}",
    b"\x93NUMPY": f"one array of numpy without a name: {_NAMED}",
    b"PK\x03\x04": "a zip archive: an .npz of numpy must end in .npz",
    b"MATLAB 5.0": "a file of MATLAB: must end in .mat",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file: must end in .h5",
    b"RIFF": f"sound: {_NAMED}",
    b"version https://git-lfs": "the pointer of Git LFS, not the file: fetch it by `git lfs pull`",
}
# What each kind may begin with.
_EXPECTED = {".npz": (b"PK\x03\x04",), ".mat": (b"MATLAB 5.0", b"\x89HDF\r\n\x1a\n")}
_HDF5 = (b"\x89HDF\r\n\x1a\n",)


def read(path: str | Path, names: Sequence[str]) -> Fields:
    """Return those of the ``names`` that the file holds: arrays of numbers, or of one text.

    A text has dtype U. Arrays have the shape that they had where they were written: MATLAB's are
    matrices. `InputError` for a file that is not a regular one of the three kinds, is damaged, or
    is too large.
    """
    if is_store(path):
        place = str(path) if is_remote(path) else str(Path(path).absolute())
    else:
        path = Path(path)
        check_suffix(path)
        # No pipe and no device: they could go on for ever.
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        place = str(path.absolute())
    status, content, message = _in_a_process([place, *names])
    if status == 2 and message:
        raise InputError(f"{path}: {message}")
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        if status == 0:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    raise InputError(f"{path}: damaged: the library that reads it crashed")


def is_remote(path: str | Path) -> bool:
    """Tell whether this is a URL, such as ``s3://bucket/store/group``."""
    return "://" in str(path)


def is_store(path: str | Path) -> bool:
    """Tell whether this names a group of Zarr and no file: a URL, or a folder with its metadata."""
    marks = (".zgroup", ".zattrs", "zarr.json")
    return is_remote(path) or any(Path(path, mark).is_file() for mark in marks)


def check_suffix(path: Path) -> None:
    """Raise `InputError` where a file's name does not tell its kind."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        what = next((f": {text}" for text, ends in _FOREIGN.items() if suffix in ends), "")
        raise InputError(f"{path}: must end in {', '.join(SUFFIXES)}{what}")


def _in_a_process(arguments: list[str]) -> tuple[int, bytes, str]:
    """Run `main` in a child process, and return its exit status, output and message."""
    command = [sys.executable, "-P", "-m", "dbp.support.untrusted_files", *arguments]
    remote = is_remote(arguments[0])
    limit_s = REMOTE_TIME_LIMIT_S if remote else TIME_LIMIT_S
    # How this machine reaches the network.
    variables = {k: v for k, v in os.environ.items() if k.lower() in _NETWORK} if remote else None
    try:
        ended = processes.capture(command, limit_s, variables=variables)
    except processes.TimedOutError:
        return 2, b"", f"damaged: not read within {limit_s:g} s"
    # With any other status the message would be a traceback, or words of a C library.
    message = ended.stderr.decode(errors="replace") if ended.status == 2 else ""
    return ended.status, ended.stdout, message.strip()


def main(arguments: Sequence[str]) -> int:
    """Read the file ``arguments[0]``, and write the fields named by the others to stdout as npz.

    Return the exit status: 2 with a message on stderr where the file cannot be read.
    """
    path, *names = arguments
    processes.limit_memory(MEMORY_BYTES)
    warnings.simplefilter("error", UserWarning)  # as scipy warns of what it could not read whole
    try:
        if is_store(path):
            fields = _read_zarr(path, names)
        else:
            suffix = Path(path).suffix.lower()
            _check_beginning(path, suffix)
            fields = _READERS[suffix](path, names)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except MemoryError:
        print("takes too much memory to read", file=sys.stderr)
        return 2
    # A damaged file may make the libraries raise anything.
    except Exception as error:
        print(f"not readable: {' '.join(str(error).split()) or error!r}", file=sys.stderr)
        return 2
    np.savez(sys.stdout.buffer, allow_pickle=False, **fields)
    sys.stdout.flush()
    return 0


def _check_beginning(path: str, suffix: str) -> None:
    """Raise `InputError` where the first bytes are those of another kind of file."""
    with Path(path).open("rb") as file:
        start = file.read(4096)
    for beginning, what in _BEGINNINGS.items():
        if start.startswith(beginning) and beginning not in _EXPECTED.get(suffix, _HDF5):
            raise InputError(what)
    # Other writers' texts; the first kind of MATLAB, 4, begins with small numbers of 32 bits.
    if len(start) > 20 and b"\0" not in start and start.isascii():
        raise InputError(f"a text: {_NAMED}")


def _none_of(names: Collection[str], held: Sequence[str]) -> InputError:
    """The error for a file without any of the fields; it says what the file ``held``."""
    most = ", ".join(held[:8]) + (" ..." if len(held) > 8 else "") or "nothing"
    return InputError(f"must hold {', '.join(names)}, and holds {most[:300]}")


def _check_size(name: str, shape: Sequence[int], item_bytes: int) -> None:
    """Raise `InputError` for an array too large to allocate."""
    if min(shape, default=0) < 0 or math.prod(shape) * item_bytes > MAX_BYTES:
        raise InputError(f"{name}: {tuple(shape)} of {item_bytes} bytes: at most {MAX_BYTES} bytes")


def _no_numbers(name: str, dtype: np.dtype) -> InputError:
    # As lists and cells of two vectors are, where one is longer.
    hint = "; several vectors as the rows of one matrix" if dtype.kind == "O" else ""
    return InputError(f"{name}: of type {dtype}: must be an array of numbers, or a text{hint}")


def _checked(name: str, value: Any) -> np.ndarray:
    """``value`` as an array of numbers, in the byte order of this machine, or of one text."""
    array = np.asarray(value)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8")
    if array.dtype.kind == "U" and array.size == 1:
        return array.reshape(())
    if array.dtype.kind not in "biufc":
        raise _no_numbers(name, array.dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_npz(path: str, names: Collection[str]) -> Fields:
    fields = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            # The two that numpy writes; others could unpack without bound.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise InputError(f"{name}: must be stored or deflated")
            # Also the fields not asked for: opening a member compares the two places of its name.
            with archive.open(member) as stream:
                if name in names:
                    fields[name] = _checked(name, _read_npy(name, stream))
        if not fields:
            raise _none_of(names, [name.removesuffix(".npy") for name in archive.namelist()])
    return fields


def _read_npy(name: str, stream: Any) -> np.ndarray:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise InputError(f"{name}: .npy of version {version}: must be 1.0 or 2.0")
    read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, fortran_order, dtype = read_header(stream)
    if dtype.kind not in "biufcSU":
        raise _no_numbers(name, dtype)
    _check_size(name, shape, dtype.itemsize)
    size = math.prod(shape) * dtype.itemsize
    content = stream.read(size + 1)  # to the end, where the checksum is compared
    if len(content) != size:
        raise InputError(f"{name}: {len(content)} bytes or more: must be the {size} it states")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran_order else "C")


def _read_mat(path: str, names: Collection[str]) -> Fields:
    with Path(path).open("rb") as file:
        start = file.read(1024)
    # MATLAB's option -v7.3 writes HDF5 behind 512 bytes.
    if b"\x89HDF\r\n\x1a\n" in start:
        return _read_hdf5(path, names)
    from scipy import io as scipy_io

    held = scipy_io.whosmat(path, appendmat=False)
    shapes = {name: shape for name, shape, _ in held}
    present = [name for name in shapes if name in names]
    for name in present:
        _check_size(name, shapes[name], 16)
    if not present:  # scipy would take an empty list for all variables
        raise _none_of(names, [_described(name, kind == "struct") for name, _, kind in held])
    content = scipy_io.loadmat(path, appendmat=False, variable_names=present)
    for name in present:
        if name not in content:
            # Strings that MATLAB writes in double quotes are undocumented objects.
            raise InputError(f"{name}: must be numeric, or a char array in single quotes")
    return {name: _checked(name, content[name]) for name in present}


# Compound types for complex numbers; MATLAB's is the first, and h5py knows ("r", "i") itself.
_COMPLEX = (("real", "imag"), ("re", "im"), ("i", "q"), ("r", "i"))


def _read_hdf5(path: str, names: Collection[str]) -> Fields:
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        if "OCTAVE_NEW_FORMAT" in file.attrs:
            raise InputError(f"an HDF5 file of Octave: {_SAVE_V7}")
        held = list(file.keys())
        if not set(names) & set(held):
            groups = {name for name in held if file.get(name, getclass=True) is h5py.Group}
            raise _none_of(names, [_described(name, name in groups) for name in held])
        return {name: _dataset(name, file) for name in names if name in held}


def _described(name: str, is_struct: bool) -> str:
    """A name of a file, and how to write the fields of a struct by themselves."""
    return f"{name} (a struct: write its fields with save -struct)" if is_struct else name


def _dataset(name: str, file: Any) -> np.ndarray:
    import h5py

    # Links and external or virtual storage could reach other files.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{name}: must be a dataset of the file itself, no link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{name}: must be a dataset, no {type(dataset).__name__.lower()}")
    if dataset.external is not None or dataset.is_virtual:
        raise InputError(f"{name}: must be stored in the file itself")
    creation = dataset.id.get_create_plist()
    known = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    if {creation.get_filter(k)[0] for k in range(creation.get_nfilters())} - known:
        raise InputError(f"{name}: filters must be gzip, shuffle or fletcher32")
    if dataset.shape is None:
        raise InputError(f"{name}: must not be empty")
    _check_size(name, dataset.shape, dataset.dtype.itemsize)
    _check_size(name, dataset.chunks or (), dataset.dtype.itemsize)
    if h5py.check_string_dtype(dataset.dtype):
        return _checked(name, np.array(dataset.asstr()[()], dtype=np.str_))
    if dataset.dtype.kind not in "biufcV":
        raise InputError(f"{name}: of type {dataset.dtype}: must be numbers, or a text")
    matlab = dataset.attrs.get("MATLAB_class")
    if dataset.attrs.get("MATLAB_empty", 0):
        raise InputError(f"{name}: must not be empty")
    values = dataset[()]
    if (parts := values.dtype.names) and tuple(p.lower() for p in parts) in _COMPLEX:
        values = values[parts[0]] + 1j * values[parts[1]]
    if matlab is None:
        return _checked(name, values)
    # MATLAB stores columns where C has rows.
    values = np.transpose(values)
    if matlab == b"char":
        return _checked(name, "".join(map(chr, values.ravel().tolist())))
    return _checked(name, values)


def _read_zarr(path: str, names: Collection[str]) -> Fields:
    """Read arrays of a group, and attributes of it or of a group above it.

    Attributes of the group of the same path below ``supdata``, beside the topmost of its groups,
    count too: there others keep what they have found out later.
    """
    try:
        import zarr
    except ImportError:
        raise InputError(
            "a group of Zarr: needs pip install 'digital-backpropagation[zarr]'"
        ) from None
    warnings.simplefilter("ignore")  # such as that a cache is no asynchronous one
    group = _group(path)
    if group is None:
        raise InputError("no group of Zarr is there, or its place cannot be reached")
    fields = {}
    for name in names:
        if name in group:
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise InputError(f"{name}: must be an array, no group")
            _check_size(name, array.shape, array.dtype.itemsize)
            fields[name] = _checked(name, array[...])
    if not fields:
        held = ", ".join(sorted(group)[:8])[:300]
        raise InputError(f"must hold the array {next(iter(names))}, and holds {held or 'nothing'}")
    for name, value in _attributes(path, group).items():
        if name in names:
            fields.setdefault(name, _checked(name, value))
    return fields


def _attributes(path: str, group: Any) -> dict[str, Any]:
    """The attributes of a group, and those of the groups above it that it has not itself."""
    attributes = dict(group.attrs)
    below: list[str] = []
    while len(below) < _MOST_ABOVE:
        path, slash, name = path.rpartition("/")
        if not slash or path.endswith("/") or (above := _group(path)) is None:
            break
        attributes = {**above.attrs, **attributes}
        if below and (beside := _group("/".join((path, "supdata", *below)))) is not None:
            attributes = {**beside.attrs, **attributes}
        below.insert(0, name)
    return attributes


# Groups above one whose attributes count.
_MOST_ABOVE = 6
_NETWORK = ("http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "requests_ca_bundle")


def _group(path: str) -> Any:
    """Open a group of Zarr; None where there is none. Buckets are read without credentials."""
    import zarr

    options: dict[str, Any] = {}
    if is_remote(path):
        *caches, last = path.split("::")
        protocol = last.partition("://")[0]
        if protocol in ("s3", "s3a"):
            options = {protocol: {"anon": True}} if caches else {"anon": True}
    elif not is_store(path):
        return None
    try:
        return zarr.open_group(path, mode="r", storage_options=options or None)
    except ImportError as error:
        raise InputError(f"{error}") from None
    except Exception:  # each file system has errors of its own for what is not there
        return None


_READERS: dict[str, Callable[[str, Collection[str]], Fields]] = dict(
    zip(SUFFIXES, (_read_npz, _read_mat, _read_hdf5, _read_hdf5), strict=True)
)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
