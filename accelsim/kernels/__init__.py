"""Compiled inner loops: the only place that knows numba.

A kernel file calls only functions of its own file, so that numba's cache, which does not see edits in imported kernels, stays right.
Kernels of the subfolders may call each other: their cache is keyed by the content of all of these (`compile.py`).
Only a first run compiles (`jit.py`); later ones read the machine code that it kept (`machinecode.py`), and no numba.
"""
