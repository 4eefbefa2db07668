// Counts 0 .. N-1 and over again, one on each `step`.
// Ports: `step` in; the number and whether it is the last out.
// Latency: none, `n` is the number of steps so far. Resources: about one LUT a bit of N-1.
`default_nettype none
module counter #(parameter N = 4, parameter B = N > 1 ? $clog2(N) : 1) (
    input wire clk, input wire rst, input wire step, output reg [B-1:0] n, output wire last);
  assign last = n == N - 1;
  always @(posedge clk)
    if (rst) n <= 0;
    else if (step) n <= last && N != 1 << B ? {B{1'b0}} : n + 1'b1;  // up to a power of two it wraps by itself
endmodule
`default_nettype wire
