"""What Vivado makes of FINN's units: laws fitted to published counts. See :func:`vivado_unit`."""
