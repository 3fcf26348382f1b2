"""``predictive28``: a cell library at 28 nm and 0.9 V that comes with the package.

The library lies on the straight line, in the logarithm of the node, between nangate45 (45 nm,
1.1 V) and asap7 (7 nm, 0.7 V): it serves demonstration and regression and is no evidence of what
28 nm costs.
``data/predictive28.csv`` has every figure, with the two that it comes from and the rule:

- ``log``: the logarithm of the figure is linear in that of the node;
- ``log/V``, ``log/V2``: the same for current (leakage) and capacitance (energy), then times 0.9 V
  or its square;
- ``linear``: the figure itself is linear in the logarithm of the node (slopes, without a unit);
- ``median``: asap7 has no such cell; nangate45's figure times the median ratio of the like rows.

Delays are those of the line, which passes 28 nm at 0.98 V. Among asap7's cells of one function,
a nangate45 cell corresponds to the one whose input capacitance, relative to its inverter's, is
nearest.

``python -m dbp.synthesis.cells.make_predictive28`` writes the Liberty file from the table (and
asap7's wires); ``--from-kits`` first derives the table from the two kits.

`gates` lists the cells, `table` holds the rules and reads the table, `derive` makes the table from
the kits, `write_liberty` makes the library from the table. Nothing else imports this package.
"""
