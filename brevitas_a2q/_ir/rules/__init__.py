"""One rule per operator: from the shapes, ranges and integers of its inputs to those of its outputs."""
