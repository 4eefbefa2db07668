// Maximum (MAXIMUM = 1) or sum of K words, PE channels of A bits each: the pool behind a depthwise sliding window.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle behind the last of the K words.
// Resources: PE adders, or a comparator and a choice, of the result's bits; PE results in registers.
`default_nettype none
module pool #(parameter K = 4, parameter PE = 1, parameter A = 4, parameter SIGNED = 0, parameter OUT = 6,
              parameter MAXIMUM = 0) (
    input wire clk, input wire rst,
    input wire [PE*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [PE*OUT-1:0] out_data, output reg out_valid, input wire out_ready);
  wire [(K > 1 ? $clog2(K) : 1)-1:0] k;
  wire last;
  wire free = ~out_valid | out_ready, go = in_valid & in_ready;
  assign in_ready = free | ~last;
  counter #(.N(K)) taps (.clk(clk), .rst(rst), .step(go), .n(k), .last(last));
  reg [PE*OUT-1:0] so_far;
  wire [PE*OUT-1:0] next;
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    wire signed [OUT-1:0] s = so_far[i*OUT +: OUT];
    wire signed [OUT-1:0] v;
    if (SIGNED) begin : s_ assign v = $signed(in_data[i*A +: A]); end
    else begin : u_ assign v = in_data[i*A +: A]; end
    wire larger;
    if (SIGNED) begin : sc assign larger = v > s; end
    else begin : uc assign larger = $unsigned(v) > $unsigned(s); end
    assign next[i*OUT +: OUT] = k == 0 ? v : MAXIMUM ? (larger ? v : s) : s + v;
  end endgenerate
  always @(posedge clk) begin
    if (go) so_far <= next;
    if (go & last) out_data <= next;
    if (rst) out_valid <= 0; else if (free) out_valid <= go & last;
  end
endmodule
`default_nettype wire
