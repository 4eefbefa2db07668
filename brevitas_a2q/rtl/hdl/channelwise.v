// One parameter of W bits a channel (signed), PE channels a word, CF words a pixel: values of A bits (signed) plus it (0),
// times it (1), or whether they are at most (2) or at least (3) it.
//   Parameters: CF words of PE parameters from the file FILE. ROWS: products have a row for each bit of the parameter (1)
//   or of the value (2), see multiply.v; 0: of a constant, left to synthesis.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word a cycle. Latency: two cycles.
// Resources: PE adders, multipliers (multiply.v) or comparators, and CF words of PE * W bits of parameters in LUTs.
`default_nettype none
module channelwise #(parameter CF = 4, parameter PE = 1, parameter A = 8, parameter W = 4, parameter OUT = 9,
                     parameter FUNCTION = 0, parameter FILE = "", parameter ROWS = 0) (
    input wire clk, input wire rst,
    input wire [PE*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [PE*OUT-1:0] out_data, output reg out_valid, input wire out_ready);
  wire en = ~out_valid | out_ready;
  assign in_ready = en;
  wire [(CF > 1 ? $clog2(CF) : 1)-1:0] channel;
  counter #(.N(CF)) channels (.clk(clk), .rst(rst), .step(in_valid & en), .n(channel), .last());
  (* ram_style = "logic", rom_style = "distributed" *) reg [PE*W-1:0] rom [0:CF-1];
  initial $readmemh(FILE, rom);
  reg [PE*A-1:0] x0;
  reg [PE*W-1:0] p0;
  reg v0;
  wire [PE*OUT-1:0] next;
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    wire signed [A-1:0] x = x0[i*A +: A];
    wire signed [W-1:0] p = p0[i*W +: W];
    wire signed [OUT-1:0] value;
    if (FUNCTION == 0) begin : plus assign value = x + p; end
    else if (FUNCTION == 1 && ROWS == 0) begin : times assign value = x * p; end
    else if (FUNCTION == 1 && ROWS == 1) begin : by_parameter
      multiply #(.W(A), .A(W), .SIGNED(1), .N(OUT)) by (.w(x), .x(p), .q(value));
    end else if (FUNCTION == 1) begin : by_value
      multiply #(.W(W), .A(A), .SIGNED(1), .N(OUT)) by (.w(p), .x(x), .q(value));
    end
    else if (FUNCTION == 2) begin : most assign value = x <= p; end
    else begin : least assign value = x >= p; end
    assign next[i*OUT +: OUT] = value;
  end endgenerate
  always @(posedge clk) begin
    if (en) begin x0 <= in_data; p0 <= rom[channel]; out_data <= next; end
    if (rst) begin v0 <= 0; out_valid <= 0; end else if (en) begin v0 <= in_valid; out_valid <= v0; end
  end
endmodule
`default_nettype wire
