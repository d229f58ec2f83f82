"""Descriptors of many pieces at once, and the bytes that they move.

`planes`: of live planes of maps or filters; `units`: of fetch units that have places of their own; `parts`: of live parts of planes.
Each of the three comes twice: as jobs for the schedule, and as bytes for who chooses among tilings. `ladder`: choices worth having.
"""
