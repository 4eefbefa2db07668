"""Certificates and bit-exact simulation, computed on integers."""
