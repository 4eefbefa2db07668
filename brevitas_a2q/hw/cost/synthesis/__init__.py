"""Our model: equations with a source, coefficients fitted to synthesis of reference RTL."""
