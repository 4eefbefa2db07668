// The ports of dsp_products.v, for synthesis that leaves it as one block: Yosys has to know what the block writes.
module dsp_products #(parameter LANES = 2, parameter W = 8, parameter A = 8, parameter SIGNED = 0, parameter N = W + A) (
    input clk, input en, input [LANES*W-1:0] w, input [A-1:0] x, output [LANES*N-1:0] products);
endmodule
