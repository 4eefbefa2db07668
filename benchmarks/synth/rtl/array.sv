// SIMD multipliers, an adder tree and a P-bit accumulator for each PE, everything modulo 2^P.

module adder_tree #(parameter int N = 4, parameter int WI = 8, parameter int P = 32) (
    input [N*WI-1:0] x, output signed [P-1:0] s);
  localparam int H = (N + 1) / 2, WO = (WI + 1 < P) ? WI + 1 : P;
  if (N == 1) begin : leaf
    assign s = P'($signed(x));
  end else begin : node
    wire [H*WO-1:0] y;
    for (genvar i = 0; i < N / 2; i++)
      assign y[i*WO+:WO] = WO'($signed(x[2*i*WI+:WI])) + WO'($signed(x[(2*i+1)*WI+:WI]));
    if (N % 2) assign y[(H-1)*WO+:WO] = WO'($signed(x[(N-1)*WI+:WI]));
    adder_tree #(.N(H), .WI(WO), .P(P)) rest (.x(y), .s);
  end
endmodule

module array #(parameter int W = 4, parameter int A = 4, parameter int SIMD = 4, parameter int PE = 1,
               parameter int P = 16, parameter bit ASGN = 0) (
    input clk, input en, input first, input [PE*SIMD*W-1:0] w, input [SIMD*A-1:0] a, output [PE*P-1:0] acc);
  localparam int M = (W + A < P) ? W + A : P;
  for (genvar pe = 0; pe < PE; pe++) begin : lane
    logic [SIMD*M-1:0] products;
    logic signed [P-1:0] sum, next, total;
    for (genvar i = 0; i < SIMD; i++) begin : multiplier
      wire signed [M-1:0] p;
      rowmul #(.W(W), .A(A), .ASGN(ASGN), .M(M)) m (.w(w[(pe*SIMD+i)*W+:W]), .a(a[i*A+:A]), .p);
      always_ff @(posedge clk) if (en) products[i*M+:M] <= p;
    end
    adder_tree #(.N(SIMD), .WI(M), .P(P)) tree (.x(products), .s(next));
    always_ff @(posedge clk) if (en) begin
      sum <= next;
      total <= first ? sum : total + sum;
    end
    assign acc[pe*P+:P] = total;
  end
endmodule
