"""FINN parity: the numbers FINN's own estimates print, one file per kind of unit."""
