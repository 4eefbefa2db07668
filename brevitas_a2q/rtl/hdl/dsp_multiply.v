// Low N bits of a product of a signed weight and an activation, in one DSP block with its register.
// Latency: one cycle. Resources: a DSP block where W is at most 27 and A at most 17 bits.
`default_nettype none
module dsp_multiply #(parameter W = 4, parameter A = 4, parameter SIGNED = 0, parameter N = W + A) (
    input wire clk, input wire en, input wire signed [W-1:0] w, input wire [A-1:0] x, output reg [N-1:0] product);
  (* use_dsp = "yes" *) wire signed [W+A-1:0] full;
  generate
    if (SIGNED) begin : s assign full = w * $signed(x); end
    else begin : u assign full = w * $signed({1'b0, x}); end
  endgenerate
  always @(posedge clk) if (en) product <= full[N-1:0];
endmodule
`default_nettype wire
