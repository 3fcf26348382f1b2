"""The nets that a file of activity is asked for, and what each of its scopes has of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from dbp.errors import InputError, shown
from dbp.synthesis.netlist.model import is_bit

Entry = TypeVar("Entry")
Scope = tuple[str, ...]
MOST_SCOPES = 5


class Sought:
    r"""Nets, by all the names that a file may have for them.

    ``spellings``: of each net, the likeliest first; ``owner``: the net of each of them. ``bits``:
    by the name of a vector, the bits of it that are sought, each with its name. ``scalars``: the
    names that are no bits; a file may have ``a`` as the only bit of a vector.
    """

    def __init__(self, nets: Collection[str] | Mapping[str, Sequence[str]]) -> None:
        self.spellings: dict[str, Sequence[str]] = (
            dict(nets)
            if isinstance(nets, Mapping)
            else {net: (net, "\\" + net) if is_bit(net) else (net,) for net in nets}
        )
        self.owner = {name: net for net, names in self.spellings.items() for name in names}
        self.scalars = {name for name in self.owner if not is_bit(name)}
        self.bits: dict[str, list[tuple[int, str]]] = {}
        for name in self.owner:
            stem, index = stem_and_index(name)
            if stem:
                self.bits.setdefault(stem, []).append((index, name))


def stem_and_index(name: str) -> tuple[str, int]:
    """Return the vector and the index of a name that looks like a bit, else an empty name."""
    if not is_bit(name):
        return "", 0
    stem, _, index = name[:-1].rpartition("[")
    # Python refuses to convert thousands of digits.
    return (stem, int(index)) if len(index) < 10 else ("", 0)


class Listing(Generic[Entry]):
    """What one scope has of the nets that are sought.

    ``exact``: the entries of each name; several where the file has the name several times.
    ``attached``: entries of ``d[1]``, which may be a bit of d, or an escaped name that has lost its
    backslash. ``lone``: by the name of a vector, the bits that were met.
    """

    __slots__ = ("attached", "exact", "lone")

    def __init__(self) -> None:
        self.exact: dict[str, list[Entry]] = {}
        self.attached: dict[str, list[Entry]] = {}
        self.lone: dict[str, dict[str, Entry]] = {}

    def add(self, sought: Sought, name: str, entry: Entry, attached: bool = False) -> None:
        """Add an entry under its name, if that is sought."""
        if name in sought.owner or (attached and "\\" + name in sought.owner):
            entries = (self.attached if attached else self.exact).setdefault(name, [])
            if entry not in entries:
                entries.append(entry)
        stem, _ = stem_and_index(name)
        if stem in sought.scalars:
            self.lone.setdefault(stem, {})[name] = entry

    def settle(self) -> None:
        """Take what is called like a bit for the bit, or where there is one, for the escaped name.

        Called once, when all names are known.
        """
        for name, entries in self.attached.items():
            bits = self.exact.setdefault(name, [])
            others = [entry for entry in entries if entry not in bits]
            if bits and others:
                self.exact.setdefault("\\" + name, []).extend(others)
            else:
                bits += others
        self.attached = {}

    def found(self, sought: Sought) -> Iterator[tuple[str, list[Entry]]]:
        """Yield the nets that the scope has, with their entries."""
        names = [name for name in self.exact if name in sought.owner]
        names += [stem for stem, bits in self.lone.items() if len(bits) == 1]
        for net in dict.fromkeys(sought.owner[name] for name in names):
            yield net, self._entries(sought.spellings[net])

    def _entries(self, spellings: Sequence[str]) -> list[Entry]:
        for name in spellings:
            if name in self.exact:
                return self.exact[name]
        bits = (self.lone.get(name, {}) for name in spellings)
        return next(list(found.values()) for found in bits if len(found) == 1)


def chosen_scope(
    scopes: Mapping[Scope, Listing[Entry]], sought: Sought, wanted: str | None
) -> tuple[str, dict[str, list[Entry]]]:
    """Return a scope (instance) and the entries of the nets that it has.

    ``wanted``: its path, or the end of it, with / or . between the names; by default the scope that
    has most of the nets, the first of several. `InputError` where there is none.
    """
    for listing in scopes.values():
        listing.settle()
    if wanted is not None:
        path = _named(scopes, sought, wanted)
        entries = dict(scopes[path].found(sought))
        if not entries:
            raise InputError(f"scope {'/'.join(path)}: has no net of the netlist")
        return "/".join(path), entries
    best: dict[str, list[Entry]] = {}
    best_path: Scope = ()
    for path, listing in scopes.items():
        if len(listing.exact) + len(listing.lone) > len(best):
            entries = dict(listing.found(sought))
            if len(entries) > len(best):
                best, best_path = entries, path
    if not best:
        raise InputError(f"none of its {len(scopes)} scopes has a net of the netlist")
    return "/".join(best_path), best


def _named(scopes: Mapping[Scope, Listing[Entry]], sought: Sought, wanted: str) -> Scope:
    """Return the path of the scope that is asked for."""
    for fits in (
        lambda joined: joined == wanted,
        lambda joined: joined.endswith(("/" + wanted, "." + wanted)),
    ):
        found = [path for path in scopes if fits("/".join(path)) or fits(".".join(path))]
        if len(found) == 1:
            return found[0]
        if found:
            raise InputError(f"scope {shown(wanted)}: must be one, is {_listed(found)}")
    having = [path for path, listing in scopes.items() if any(listing.found(sought))]
    raise InputError(
        f"scope {shown(wanted)}: must be in the file; nets of the netlist are in "
        f"{_listed(having) or 'none of its scopes'}"
    )


def _listed(paths: list[Scope]) -> str:
    listed = ", ".join("/".join(path) for path in paths[:MOST_SCOPES])
    return listed + (f" and {len(paths) - MOST_SCOPES} more" if len(paths) > MOST_SCOPES else "")
