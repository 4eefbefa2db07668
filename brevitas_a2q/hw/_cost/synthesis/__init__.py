"""Circuits: equations with a source, coefficients fitted to synthesis of reference RTL. Units are built of them."""
