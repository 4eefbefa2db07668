"""FINN parity: the numbers FINN prints, one file per kind of unit."""
