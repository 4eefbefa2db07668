// LANES products of signed weights with one activation, in one DSP block with its output register: low N bits of each.
//   The weights stand W + A bits apart in one factor: the pre-adder takes their sign bits (which weigh -2^(W-1)) from the
//   other bits. A constant behind the multiplier adds 2^(W+A-1) to every product but the highest, so that no product is
//   negative and none borrows from the one above; its sign bit is inverted on the way out, which takes it off again.
// Ports: weights and their activation in, the products out; the register waits for `en`.
// Latency: one cycle. Resources: one DSP48 where (LANES-1)*(W+A) + W + 1 is at most the pre-adder's width (27 bits, 25 of
// a DSP48E1) and A at most 17, or 18 if SIGNED.
`default_nettype none
module dsp_products #(parameter LANES = 2, parameter W = 8, parameter A = 8, parameter SIGNED = 0, parameter N = W + A) (
    input wire clk, input wire en, input wire [LANES*W-1:0] w, input wire [A-1:0] x, output wire [LANES*N-1:0] products);
  localparam F = W + A, TOP = (LANES - 1) * F;
  localparam M = LANES > 1 ? TOP + W + 1 : W, T = TOP + F;
  wire [T-1:0] ends;  // the sign bits of the products below the highest
  wire signed [M-1:0] plain, signs;
  reg signed [T-1:0] held;
  wire [A:0] wide = {SIGNED ? x[A-1] : 1'b0, x};
  wire signed [A:0] factor = wide;
  wire signed [T-1:0] offset = ends;
  wire signed [M-1:0] packed_weights = plain - signs;
  (* use_dsp = "yes" *) wire signed [T-1:0] sum = packed_weights * factor + offset;
  always @(posedge clk) if (en) held <= sum;
  assign plain[M-1:TOP] = $signed(w[(LANES-1)*W +: W]);
  assign signs[M-1:TOP] = 0;
  assign ends[T-1:TOP] = 0;
  genvar i;
  generate for (i = 0; i < LANES; i = i + 1) begin : lane
    wire [F-1:0] product;
    if (i < LANES - 1) begin : low
      assign ends[i*F +: F] = {1'b1, {(F-1){1'b0}}};
      assign plain[i*F +: F] = w[i*W +: W] & ~({{(W-1){1'b0}}, 1'b1} << (W - 1));
      assign signs[i*F +: F] = w[i*W +: W] & ({{(W-1){1'b0}}, 1'b1} << (W - 1));
      assign product = held[i*F +: F] ^ {1'b1, {(F-1){1'b0}}};
    end else begin : high
      assign product = held[T-1:TOP];
    end
    assign products[i*N +: N] = product[N-1:0];
  end endgenerate
endmodule
`default_nettype wire
