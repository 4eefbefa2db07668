// The channels of N streams behind each other, a whole pixel of W bits in all; the first stream in the low bits.
// Ports: N streams in, whose data are side by side, and one out (data, valid, ready each).
// Rate: one word of each a cycle. Latency: one cycle.
// Resources: a register of W bits, and LUTs that join the streams.
`default_nettype none
module concat #(parameter W = 8, parameter N = 2) (
    input wire clk, input wire rst,
    input wire [W-1:0] in_data, input wire [N-1:0] in_valid, output wire [N-1:0] in_ready,
    output reg [W-1:0] out_data, output reg out_valid, input wire out_ready);
  wire free = ~out_valid | out_ready, go = &in_valid & free;
  assign in_ready = {N{go}};
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go;
    if (free) out_data <= in_data;
  end
endmodule
`default_nettype wire
