// One carry chain per adder, as Vivado builds them; without it Yosys merges adders into compressor trees.
(* techmap_celltype = "$add" *)
module add_to_alu #(
    parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1
) (
    input [A_WIDTH-1:0] A, input [B_WIDTH-1:0] B, output [Y_WIDTH-1:0] Y
);
  wire [Y_WIDTH-1:0] x, carries;
  \$alu #(.A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED), .A_WIDTH(A_WIDTH), .B_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH))
    chain (.A(A), .B(B), .Y(Y), .CI(1'b0), .BI(1'b0), .X(x), .CO(carries));
endmodule
