// N copies of a stream of W bits; every reader takes its own at its own time, the next word comes when all have.
// Ports: one stream in and N out, whose data are the same (data, valid, ready each).
// Rate: one word a cycle. Latency: none (combinational).
// Resources: two LUTs a copy, a flip-flop for each that has gone.
`default_nettype none
module duplicate #(parameter W = 8, parameter N = 2) (
    input wire clk, input wire rst,
    input wire [W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [W-1:0] out_data, output wire [N-1:0] out_valid, input wire [N-1:0] out_ready);
  reg [N-1:0] done;
  wire [N-1:0] taken = done | out_ready;
  assign out_data = in_data;
  assign out_valid = {N{in_valid}} & ~done;
  assign in_ready = &taken;
  always @(posedge clk)
    if (rst) done <= 0;
    else if (in_valid) done <= in_ready ? {N{1'b0}} : taken;
endmodule
`default_nettype wire
