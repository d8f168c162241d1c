"""The side-by-side benchmark: peers, processes, measuring, tables. Python's standard library only."""
