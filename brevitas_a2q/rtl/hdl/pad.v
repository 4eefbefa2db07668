// Zeros around an image of H x W pixels of CF words of B bits: T rows above, BO below, L columns left, R right.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle. Latency: one cycle.
// Resources: counters over rows, columns and words of a pixel; zeros are the reset of the output register.
`default_nettype none
module pad #(parameter H = 8, parameter W = 8, parameter T = 1, parameter L = 1, parameter BO = 1, parameter R = 1,
             parameter CF = 1, parameter B = 8) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam HH = H + T + BO, WW = W + L + R;
  wire [(HH > 1 ? $clog2(HH) : 1)-1:0] y;
  wire [(WW > 1 ? $clog2(WW) : 1)-1:0] x;
  wire last_word, last_column;
  wire free = ~out_valid | out_ready;
  wire above, left;
  generate  // a comparison with 0 that always holds is a warning of some tools
    if (T > 0) assign above = y < T; else assign above = 1'b0;
    if (L > 0) assign left = x < L; else assign left = 1'b0;
  endgenerate
  wire inner = ~above & y < T + H & ~left & x < L + W;
  wire go = free & (in_valid | ~inner);
  assign in_ready = free & inner;
  counter #(.N(CF)) words (.clk(clk), .rst(rst), .step(go), .n(), .last(last_word));
  counter #(.N(WW)) columns (.clk(clk), .rst(rst), .step(go & last_word), .n(x), .last(last_column));
  counter #(.N(HH)) rows (.clk(clk), .rst(rst), .step(go & last_word & last_column), .n(y), .last());
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go;
    if (free) out_data <= inner ? in_data : {B{1'b0}};
  end
endmodule
`default_nettype wire
