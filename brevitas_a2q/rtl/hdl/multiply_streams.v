// Products of two streams, PE elements a word: A bits in the first, B in the second, which holds the high bits of `in_data`.
//   SWAP: with a row for each bit of the first (multiply.v) instead of the second.
// Ports: two streams in, whose data are side by side, and one out (data, valid, ready each).
// Rate: one word of each a cycle. Latency: one cycle.
// Resources: PE multipliers (multiply.v), an output register, LUTs that join the streams.
`default_nettype none
module multiply_streams #(parameter PE = 1, parameter A = 4, parameter ASIGNED = 0, parameter B = 4, parameter BSIGNED = 0,
                          parameter OUT = 8, parameter SWAP = 0) (
    input wire clk, input wire rst,
    input wire [PE*(A+B)-1:0] in_data, input wire [1:0] in_valid, output wire [1:0] in_ready,
    output reg [PE*OUT-1:0] out_data, output reg out_valid, input wire out_ready);
  wire free = ~out_valid | out_ready, go = &in_valid & free;
  assign in_ready = {2{go}};
  wire [PE*OUT-1:0] products;
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    wire [A-1:0] a = in_data[i*A +: A];
    wire [B-1:0] b = in_data[PE*A + i*B +: B];
    wire signed [A-ASIGNED:0] first;
    wire signed [B-BSIGNED:0] second;
    if (ASIGNED) begin : a_signed assign first = a; end else begin : a_plain assign first = {1'b0, a}; end
    if (BSIGNED) begin : b_signed assign second = b; end else begin : b_plain assign second = {1'b0, b}; end
    wire [OUT-1:0] product;
    if (SWAP) begin : by_first
      multiply #(.W(B + 1 - BSIGNED), .A(A), .SIGNED(ASIGNED), .N(OUT)) by (.w(second), .x(a), .q(product));
    end else begin : by_second
      multiply #(.W(A + 1 - ASIGNED), .A(B), .SIGNED(BSIGNED), .N(OUT)) by (.w(first), .x(b), .q(product));
    end
    assign products[i*OUT +: OUT] = product;
  end endgenerate
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go;
    if (free) out_data <= products;
  end
endmodule
`default_nettype wire
