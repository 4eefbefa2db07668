// Sum of two streams, PE elements of A bits a word; `in_data` holds the second stream in the high bits.
// Ports: two streams in, whose data are side by side, and one out (data, valid, ready each).
// Rate: one word of each a cycle. Latency: one cycle.
// Resources: PE adders of one bit more than the wider value, an output register, two LUTs that join the streams.
`default_nettype none
module add #(parameter PE = 1, parameter A = 4, parameter SIGNED = 0, parameter OUT = 5) (
    input wire clk, input wire rst,
    input wire [2*PE*A-1:0] in_data, input wire [1:0] in_valid, output wire [1:0] in_ready,
    output reg [PE*OUT-1:0] out_data, output reg out_valid, input wire out_ready);
  wire free = ~out_valid | out_ready, go = &in_valid & free;
  assign in_ready = {2{go}};
  wire [PE*OUT-1:0] sums;
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    if (SIGNED) begin : s
      wire signed [OUT-1:0] a = $signed(in_data[i*A +: A]), b = $signed(in_data[(PE+i)*A +: A]);
      assign sums[i*OUT +: OUT] = a + b;
    end else begin : u
      wire [OUT-1:0] a = in_data[i*A +: A], b = in_data[(PE+i)*A +: A];
      assign sums[i*OUT +: OUT] = a + b;
    end
  end endgenerate
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go;
    if (free) out_data <= sums;
  end
endmodule
`default_nettype wire
