// Matrix-vector-activation unit (DEPTHWISE = 0) or vector-vector-activation unit (1): dot products, then thresholds.
//   REPLAY: vectors of SF words are sent NF times, GROUPS of them a pixel having rows of their own; otherwise every word
//   is used once. B = 0: no thresholds, the sums of P bits leave. TF: 1 where all
//   channels have the same thresholds. Other parameters: dot_product.v, thresholds.v.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits; `overflow` is read in simulation only.
// Rate: SF * NF cycles a vector. Latency behind its last word: the sum's (dot_product.v), 2 of the replay, the thresholds'.
// Resources: those of replay.v, dot_product.v and thresholds.v, and the control between them.
`default_nettype none
module matrix_unit #(parameter SF = 9, parameter NF = 1, parameter GROUPS = 1, parameter PE = 1, parameter SIMD = 1,
                     parameter W = 4, parameter WKIND = 1, parameter A = 4, parameter AKIND = 0, parameter P = 12,
                     parameter DEPTHWISE = 0, parameter REPLAY = 0, parameter WEIGHTS = "", parameter BLOCK = 0,
                     parameter BUFFER_BLOCK = 0, parameter DSP = 0, parameter SWAP = 0, parameter LEVELS = 3, parameter CHECK = 0,
                     parameter B = 4, parameter T = 12, parameter X = P, parameter TF = NF * GROUPS, parameter BIAS = 0, parameter OUT = 4, parameter FILE = "t",
                     parameter THRESHOLD_BLOCK = 0, parameter PARALLEL = 0) (
    input wire clk, input wire rst,
    input wire [(DEPTHWISE ? PE : 1)*SIMD*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [PE*OUT-1:0] out_data, output wire out_valid, input wire out_ready, output wire overflow);
  localparam IN = (DEPTHWISE ? PE : 1) * SIMD * A;
  wire [IN-1:0] x;
  wire x_valid, x_ready, sum_valid, sum_ready;
  wire [PE*P-1:0] sums;
  generate if (REPLAY) begin : buffered
    replay #(.SF(SF), .NF(NF), .B(IN), .BLOCK(BUFFER_BLOCK)) vectors (
        .clk(clk), .rst(rst), .in_data(in_data), .in_valid(in_valid), .in_ready(in_ready),
        .out_data(x), .out_valid(x_valid), .out_ready(x_ready));
  end else begin : direct
    assign x = in_data; assign x_valid = in_valid; assign in_ready = x_ready;
  end endgenerate
  dot_product #(.SF(SF), .NF(NF * GROUPS), .PE(PE), .SIMD(SIMD), .W(W), .WKIND(WKIND), .A(A), .AKIND(AKIND), .P(P),
                .DEPTHWISE(DEPTHWISE), .WEIGHTS(WEIGHTS), .BLOCK(BLOCK), .DSP(DSP), .SWAP(SWAP), .LEVELS(LEVELS), .CHECK(CHECK))
      products (.clk(clk), .rst(rst), .in_data(x), .in_valid(x_valid), .in_ready(x_ready),
                .out_data(sums), .out_valid(sum_valid), .out_ready(sum_ready), .overflow(overflow));
  generate if (B > 0) begin : activation
    thresholds #(.CF(TF), .PE(PE), .A(P), .KIND(1), .T(T), .X(X), .B(B), .BIAS(BIAS), .OUT(OUT), .FILE(FILE),
                 .BLOCK(THRESHOLD_BLOCK), .PARALLEL(PARALLEL))
        codes (.clk(clk), .rst(rst), .in_data(sums), .in_valid(sum_valid), .in_ready(sum_ready),
               .out_data(out_data), .out_valid(out_valid), .out_ready(out_ready));
  end else begin : sums_only
    assign out_data = sums; assign out_valid = sum_valid; assign sum_ready = out_ready;
  end endgenerate
endmodule
`default_nettype wire
