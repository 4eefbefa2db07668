// Sum over all PIXELS of CF words of PE channels of A bits; the sums leave with the last pixel.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle.
// Resources: PE adders as wide as the sum, CF words of PE sums in LUTs, counters over words and pixels.
`default_nettype none
module global_pool #(parameter PIXELS = 64, parameter CF = 1, parameter PE = 1, parameter A = 4, parameter SIGNED = 0,
                     parameter OUT = 10) (
    input wire clk, input wire rst,
    input wire [PE*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [PE*OUT-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam CB = CF > 1 ? $clog2(CF) : 1, PB = PIXELS > 1 ? $clog2(PIXELS) : 1;
  wire [CB-1:0] c;
  wire [PB-1:0] pixel;
  wire last_word, last_pixel;
  wire free = ~out_valid | out_ready, go = in_valid & in_ready;
  assign in_ready = free | ~last_pixel;
  counter #(.N(CF)) words (.clk(clk), .rst(rst), .step(go), .n(c), .last(last_word));
  counter #(.N(PIXELS)) pixels (.clk(clk), .rst(rst), .step(go & last_word), .n(pixel), .last(last_pixel));
  (* ram_style = "distributed" *) reg [PE*OUT-1:0] sums [0:CF-1];
  wire [PE*OUT-1:0] so_far = sums[c];
  wire [PE*OUT-1:0] next;
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    wire [OUT-1:0] v;
    if (SIGNED) begin : s assign v = $signed(in_data[i*A +: A]); end
    else begin : u assign v = in_data[i*A +: A]; end
    assign next[i*OUT +: OUT] = (pixel == 0 ? {OUT{1'b0}} : so_far[i*OUT +: OUT]) + v;
  end endgenerate
  always @(posedge clk) begin
    if (go) sums[c] <= next;
    if (go & last_pixel) out_data <= next;
    if (rst) out_valid <= 0; else if (free) out_valid <= go & last_pixel;
  end
endmodule
`default_nettype wire
