"""The accelerator itself: a folded dataflow graph as Verilog, simulated bit for bit, synthesised by open tools."""
