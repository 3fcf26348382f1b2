"""Names of a netlist that every tool takes for what they are."""

from __future__ import annotations

from dataclasses import replace

from dbp.synthesis.netlist.model import Netlist


def distinct(netlist: Netlist) -> Netlist:
    """Return the netlist with no instance that is called like a net or a port.

    Such an instance gets the prefix ``u_``. In SPEF ``a:b`` is pin b of the instance a or node b of
    the net a: with one name for both a tool takes the one for the other, and the wire is lost.
    """
    others = {*netlist.nets, *netlist.ports, *netlist.outputs}
    if not any(instance.name in others for instance in netlist.instances):
        return netlist
    taken = others | {instance.name for instance in netlist.instances}
    instances = []
    for instance in netlist.instances:
        name = instance.name
        if name in others:
            while name in taken:
                name = f"u_{name}"
            taken.add(name)
            instance = replace(instance, name=name)
        instances.append(instance)
    return replace(netlist, instances=tuple(instances))
