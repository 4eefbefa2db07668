"""Units of the dataflow graph as HDL modules, one file per family."""
