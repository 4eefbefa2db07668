"""FINN parity: the numbers FINN itself prints, one file per kind of unit, each with its equations and FINN's file.

``node`` answers for one node by FINN's names; ``flow`` takes a dataflow graph through FINN's steps: ``mapping`` to its
nodes, ``specialize`` to HLS or RTL, ``set_folding``, ``minimize``, and the report. FINN's mistakes are reproduced where
they are its numbers, and said to be so: parity tells what FINN will print, the synthesis model what a unit will cost.

Checked against FINN ``main`` 39f0c9a6 (v0.10.1 line) and ``dev`` 73ba5ed6 (2026-04-17).
"""
