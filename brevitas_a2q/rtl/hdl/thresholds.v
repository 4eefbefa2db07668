// Codes of PE channels a word, CF words a pixel: BIAS and the thresholds that a channel's value reaches, in OUT bits.
//   KIND: 0 unsigned, 1 signed values of A bits. B: bits that count the thresholds; see search.v for T, FILE and BLOCK.
//   X: bits that are compared; wider values are clipped to them first. PARALLEL: thresholds of a channel if all are compared
//   at once (compare.v), 0 if they are searched (search.v).
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word a cycle. Latency: B cycles, 2B with BLOCK, 1 with PARALLEL.
// Resources: PE of search.v or compare.v, and a clip of X bits each where values are wider.
`default_nettype none
module thresholds #(parameter CF = 16, parameter PE = 1, parameter A = 10, parameter KIND = 1, parameter T = 10,
                    parameter X = A, parameter B = 4, parameter BIAS = 0, parameter OUT = 4, parameter FILE = "t", parameter BLOCK = 0,
                    parameter PARALLEL = 0) (
    input wire clk, input wire rst,
    input wire [PE*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [PE*OUT-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam L = PARALLEL ? 1 : BLOCK ? 2 * B : B, P = KIND ? A : A + 1;
  wire en = ~out_valid | out_ready;
  assign in_ready = en;
  wire [(CF > 1 ? $clog2(CF) : 1)-1:0] channel;
  counter #(.N(CF)) channels (.clk(clk), .rst(rst), .step(in_valid & en), .n(channel), .last());
  reg [L-1:0] valid;
  assign out_valid = valid[L-1];
  always @(posedge clk) if (rst) valid <= 0; else if (en) valid <= {valid, in_valid};
  genvar i;
  generate for (i = 0; i < PE; i = i + 1) begin : pe
    wire [B-1:0] code;
    wire signed [P-1:0] x;
    wire signed [X-1:0] clipped;
    if (KIND) begin : s assign x = in_data[i*A +: A]; end
    else begin : u assign x = {1'b0, in_data[i*A +: A]}; end
    if (X >= P) begin : whole assign clipped = x; end
    else begin : clip
      wire beyond = x[P-1:X-1] != {(P-X+1){x[P-1]}};
      assign clipped = beyond ? {x[P-1], {(X-1){~x[P-1]}}} : x[X-1:0];
    end
    if (PARALLEL) begin : at_once
      compare #(.P(X), .T(T), .N(PARALLEL), .B(B), .CF(CF), .INDEX(i), .FILE(FILE))
          find (.clk(clk), .en(en), .x(clipped), .channel(channel), .code(code));
    end else begin : searched
      search #(.P(X), .T(T), .B(B), .CF(CF), .INDEX(i), .FILE(FILE), .BLOCK(BLOCK))
          find (.clk(clk), .en(en), .x(clipped), .channel(channel), .code(code));
    end
    assign out_data[i*OUT +: OUT] = code + BIAS;
  end endgenerate
endmodule
`default_nettype wire
