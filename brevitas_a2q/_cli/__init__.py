"""The command line, one file per command."""

import logging as _logging

# torch, on a machine without a GPU, warns of a compiler that nothing here uses. Processes that multiprocessing spawns
# import what their parent runs, but do not call it: hence here.
_logging.getLogger("torch.utils.cpp_extension").setLevel(_logging.ERROR)
