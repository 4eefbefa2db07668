// Pools and the selection of labels. Memories are counted on their own; their read data are inputs here.

// Running maxima over KH x KW pixels; one row of maxima is kept in a memory.
module max_pool #(parameter int C = 4, parameter int B = 4, parameter int H = 16, parameter int W = 16,
                  parameter int KH = 2, parameter int KW = 2) (
    input clk, input rst, input [C*B-1:0] a, input av, output ar, input [C*B-1:0] stored,
    output [$clog2(W/KW)-1:0] address, output logic [C*B-1:0] best, output logic qv, input qr);
  wire lx, lkx, lky, lx2;
  wire [((KW>1)?$clog2(KW):1)-1:0] kx;
  wire [((KH>1)?$clog2(KH):1)-1:0] ky;
  wire go = av & ar;
  assign ar = ~qv | qr;
  counter #(.N(KW)) c0 (.clk, .rst, .step(go), .n(kx), .last(lkx));
  counter #(.N(W/KW)) c1 (.clk, .rst, .step(go & lkx), .n(address), .last(lx));
  counter #(.N(KH)) c2 (.clk, .rst, .step(go & lkx & lx), .n(ky), .last(lky));
  for (genvar i = 0; i < C; i++) begin : lane
    wire [B-1:0] x = a[i*B+:B], old = kx == 0 ? stored[i*B+:B] : best[i*B+:B];
    always_ff @(posedge clk) if (go) best[i*B+:B] <= (kx == 0 & ky == 0) ? x : x > old ? x : old;
  end
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av & lkx & lky;
endmodule

// PE running maxima (OP 0) or sums (OP 1) over K words each, channels in turn outside.
module pool #(parameter int PE = 2, parameter int B = 4, parameter int WS = 8, parameter int K = 9, parameter int OP = 0) (
    input clk, input rst, input [PE*B-1:0] a, input av, output ar, output logic [PE*WS-1:0] q, output logic qv, input qr);
  wire last;
  wire [((K>1)?$clog2(K):1)-1:0] k;
  wire go = av & ar;
  assign ar = ~qv | qr;
  counter #(.N(K)) c0 (.clk, .rst, .step(go), .n(k), .last);
  for (genvar i = 0; i < PE; i++) begin : lane
    wire [B-1:0] x = a[i*B+:B];
    wire [WS-1:0] old = q[i*WS+:WS];
    if (OP == 0) begin : max
      always_ff @(posedge clk) if (go) q[i*WS+:WS] <= (k == 0 | x > old[B-1:0]) ? x : old;
    end else begin : sum
      always_ff @(posedge clk) if (go) q[i*WS+:WS] <= (k == 0 ? '0 : old) + WS'(x);
    end
  end
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av & last;
endmodule

// Division by the constant K: product with its reciprocal of S fractional bits.
module divide #(parameter int PE = 1, parameter int WS = 8, parameter int K = 9) (
    input clk, input [PE*WS-1:0] a, output logic [PE*WS-1:0] q);
  localparam int S = WS + $clog2(K);
  localparam longint R = ((64'd1 << S) + K - 1) / K;
  for (genvar i = 0; i < PE; i++) begin : lane
    wire [2*S:0] product = a[i*WS+:WS] * R;
    always_ff @(posedge clk) q[i*WS+:WS] <= product >> S;
  end
endmodule

module global_pool #(parameter int PE = 2, parameter int B = 4, parameter int WS = 10, parameter int CF = 4,
                     parameter int N = 64) (
    input clk, input rst, input [PE*B-1:0] a, input av, output ar, input [PE*WS-1:0] stored,
    output [((CF>1)?$clog2(CF):1)-1:0] ch, output logic [PE*WS-1:0] q, output logic qv, input qr);
  wire lc, ln;
  wire [$clog2(N)-1:0] n;
  wire go = av & ar;
  assign ar = ~qv | qr;
  counter #(.N(CF)) c0 (.clk, .rst, .step(go), .n(ch), .last(lc));
  counter #(.N(N)) c1 (.clk, .rst, .step(go & lc), .n, .last(ln));
  for (genvar i = 0; i < PE; i++) always_ff @(posedge clk)
    if (go) q[i*WS+:WS] <= (n == 0 ? '0 : stored[i*WS+:WS]) + WS'(a[i*B+:B]);
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av & ln;
endmodule

// The K highest of N labels, PE of them per word: each passes the sorted list once.
module label_select #(parameter int PE = 1, parameter int K = 1, parameter int B = 16, parameter int N = 10) (
    input clk, input rst, input [PE*B-1:0] a, input av, output ar,
    output logic [K*$clog2(N)-1:0] q, output logic qv, input qr);
  localparam int I = $clog2(N);
  wire last;
  wire [((N>PE)?$clog2(N/PE):1)-1:0] n;
  logic signed [B-1:0] best [K];
  logic [I-1:0] index [K];
  wire go = av & ar;
  assign ar = ~qv | qr;
  counter #(.N(N/PE)) c0 (.clk, .rst, .step(go), .n, .last);
  logic signed [B-1:0] x, y;
  logic [I-1:0] xi, yi;
  logic signed [B-1:0] sorted [K];
  logic [I-1:0] sorted_index [K];
  always_comb begin
    for (int k = 0; k < K; k++) begin
      sorted[k] = n == 0 ? {1'b1, {(B-1){1'b0}}} : best[k];
      sorted_index[k] = index[k];
    end
    for (int p = 0; p < PE; p++) begin
      x = a[p*B+:B];
      xi = n * PE + p;
      for (int k = 0; k < K; k++) if (x > sorted[k]) begin
        y = sorted[k]; yi = sorted_index[k];
        sorted[k] = x; sorted_index[k] = xi;
        x = y; xi = yi;
      end
    end
  end
  for (genvar k = 0; k < K; k++) begin : list
    always_ff @(posedge clk) if (go) begin best[k] <= sorted[k]; index[k] <= sorted_index[k]; end
    assign q[k*I+:I] = index[k];
  end
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av & last;
endmodule
