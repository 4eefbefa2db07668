"""The generated part of the test bench in C++: how to reach the ports of a simulator's class."""

from __future__ import annotations

from brevitas_a2q.rtl._bench_files import Plan
from brevitas_a2q.rtl._netlist import Netlist
from brevitas_a2q.rtl._verilog import TOP, axis_names, padded

__all__ = ["cxxrtl_header", "verilator_header"]

_RESET = """  void reset() {
    drive(nullptr, false);
    set_reset(false);
    for (int i = 0; i < 4; i++) { drive(nullptr, false); tick(); }
    set_reset(true);
    for (int i = 0; i < 2; i++) { drive(nullptr, false); tick(); }
  }
"""


def verilator_header(netlist: Netlist, plan: Plan) -> str:
    """``design.h`` for Verilator: ports above 64 bits are arrays of 32-bit words."""
    width = padded(netlist.input.port.width)
    count = -(-netlist.input.port.width // 32)
    if width > 64:
        put = f"for (int i = 0; i < {count}; i++) top.s_axis_tdata[i] = word[i];"
    else:
        high = " | static_cast<uint64_t>(word[1]) << 32" if count > 1 else ""
        put = f"top.s_axis_tdata = static_cast<uint64_t>(word[0]){high};"
    ready = " ".join(f"top.{prefix}_tready = ready;" for prefix in axis_names(netlist).values())
    cases = "\n".join(f"      case {i}: return &top.observe_data_{i}[0];" for i in range(len(plan.taps)))
    return f"""// Written by brevitas_a2q.
#include <cstddef>
#include <cstdint>
#include "V{TOP}.h"
#include "verilated.h"
struct Design {{
  V{TOP} top;
  void set_reset(bool off) {{ top.aresetn = off; }}
{_RESET}  void drive(const uint32_t* word, bool ready) {{
    top.aclk = 0; top.s_axis_tvalid = word != nullptr;
    if (word) {{ {put} }}
    {ready}
    top.eval();
  }}
  bool input_ready() {{ return top.s_axis_tready; }}
  const uint32_t* moved() {{ return &top.observe_moved[0]; }}
  const uint32_t* put() {{ return &top.observe_put[0]; }}
  const uint32_t* got() {{ return &top.observe_got[0]; }}
  const uint32_t* overflow() {{ return &top.observe_overflow[0]; }}
  const uint32_t* data(size_t tap) {{
    switch (tap) {{
{cases}
    }}
    return nullptr;
  }}
  void tick() {{ top.aclk = 1; top.eval(); }}
}};
"""


def cxxrtl_header(netlist: Netlist, plan: Plan) -> str:
    """``design.h`` for CXXRTL: names have their underscores doubled and a prefix."""
    count = -(-netlist.input.port.width // 32)
    ready = " ".join(f"top.{_name(prefix + '_tready')}.set(ready);" for prefix in axis_names(netlist).values())
    cases = "\n".join(f"      case {i}: return bits(top.{_name(f'observe_data_{i}')});" for i in range(len(plan.taps)))
    data = _name("s_axis_tdata")
    reads = "\n".join(
        f"  const uint32_t* {name}() {{ return bits(top.{_name('observe_' + name)}); }}"
        for name in ("moved", "put", "got", "overflow")
    )
    return f"""// Written by brevitas_a2q.
#include "design.cc"
template <size_t N> static const uint32_t* bits(const cxxrtl::value<N>& v) {{ return v.data; }}
template <size_t N> static const uint32_t* bits(const cxxrtl::wire<N>& w) {{ return w.curr.data; }}
struct Design {{
  cxxrtl_design::{_name(TOP)} top;
  void set_reset(bool off) {{ top.{_name("aresetn")}.set(off); }}
{_RESET}  void drive(const uint32_t* word, bool ready) {{
    top.{_name("aclk")}.set(false); top.{_name("s_axis_tvalid")}.set(word != nullptr);
    if (word) for (int i = 0; i < {count}; i++) top.{data}.data[i] = word[i];
    {ready}
    top.step();
  }}
  bool input_ready() {{ return *bits(top.{_name("s_axis_tready")}) & 1; }}
{reads}
  const uint32_t* data(size_t tap) {{
    switch (tap) {{
{cases}
    }}
    return nullptr;
  }}
  void tick() {{ top.{_name("aclk")}.set(true); top.step(); }}
}};
"""


def _name(name: str) -> str:
    return "p_" + name.replace("_", "__")
