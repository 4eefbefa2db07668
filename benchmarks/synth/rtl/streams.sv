// Units that pass a stream on. Every output is a register with a valid/ready handshake; a word moves when both are high.

module add_streams #(parameter int PE = 1, parameter int WI = 4, parameter int WO = 5) (
    input clk, input rst, input [PE*WI-1:0] a, input [PE*WI-1:0] b, input av, input bv, output ar, output br,
    output logic [PE*WO-1:0] q, output logic qv, input qr);
  wire free = ~qv | qr, go = av & bv & free;
  assign ar = go;
  assign br = go;
  always_ff @(posedge clk) if (rst) qv <= 0; else if (free) qv <= av & bv;
  for (genvar i = 0; i < PE; i++)
    always_ff @(posedge clk) if (go) q[i*WO+:WO] <= WO'($signed(a[i*WI+:WI])) + WO'($signed(b[i*WI+:WI]));
endmodule

module duplicate_streams #(parameter int N = 2, parameter int W = 8) (
    input clk, input rst, input [W-1:0] a, input av, output ar,
    output [N*W-1:0] q, output [N-1:0] qv, input [N-1:0] qr);
  logic [N-1:0] taken;  // copies of the present word that have been read
  assign qv = {N{av}} & ~taken;
  assign ar = av & &(taken | qr);
  assign q = {N{a}};
  always_ff @(posedge clk) if (rst | ar) taken <= '0; else taken <= taken | (qv & qr);
endmodule

module concat #(parameter int N = 2, parameter int W = 8) (
    input clk, input rst, input [N*W-1:0] a, input [N-1:0] av, output [N-1:0] ar,
    output logic [N*W-1:0] q, output logic qv, input qr);
  wire free = ~qv | qr, go = &av & free;
  assign ar = {N{go}};
  always_ff @(posedge clk) if (rst) qv <= 0; else if (free) qv <= &av;
  always_ff @(posedge clk) if (go) q <= a;
endmodule

module gathering #(parameter int N = 4, parameter int W = 8) (
    input clk, input rst, input [W-1:0] a, input av, output ar,
    output logic [N*W-1:0] q, output logic qv, input qr);
  logic [$clog2(N)-1:0] n;
  wire last = n == N - 1;
  assign ar = ~qv | qr;
  always_ff @(posedge clk)
    if (rst) begin n <= '0; qv <= 0; end
    else if (ar) begin
      qv <= av & last;
      if (av) n <= last ? '0 : n + 1'b1;
    end
  always_ff @(posedge clk) if (ar & av) q <= {a, q[N*W-1:W]};
endmodule

module parting #(parameter int N = 4, parameter int W = 8) (
    input clk, input rst, input [N*W-1:0] a, input av, output ar,
    output [W-1:0] q, output logic qv, input qr);
  logic [$clog2(N)-1:0] n;
  logic [N*W-1:0] s;
  wire last = n == N - 1;
  assign q = s[W-1:0];
  assign ar = ~qv | (qr & last);
  always_ff @(posedge clk)
    if (rst) begin n <= '0; qv <= 0; end
    else if (ar) begin qv <= av; n <= '0; end
    else if (qr) n <= n + 1'b1;
  always_ff @(posedge clk) if (ar) s <= a; else if (qr) s <= {W'(0), s[N*W-1:W]};
endmodule

module register_fifo #(parameter int W = 8) (
    input clk, input rst, input [W-1:0] a, input av, output ar, output logic [W-1:0] q, output logic qv, input qr);
  logic [W-1:0] spare;
  logic full;
  assign ar = ~full;
  always_ff @(posedge clk)
    if (rst) begin qv <= 0; full <= 0; end
    else if (~qv | qr) begin qv <= full | av; full <= 0; end
    else if (av) full <= 1;
  always_ff @(posedge clk) if (~qv | qr) q <= full ? spare : a;
  always_ff @(posedge clk) if (~full) spare <= a;
endmodule

module fifo #(parameter int W = 8, parameter int D = 64) (
    input clk, input rst, input [W-1:0] a, input av, output ar, output logic [W-1:0] q, output logic qv, input qr);
  localparam int B = $clog2(D);
  logic [W-1:0] words [0:D-1];
  logic [B-1:0] head, tail;
  logic full, empty;
  wire push = av & ~full, pop = ~empty & (~qv | qr);
  wire [B-1:0] next_head = (head == D - 1) ? '0 : head + 1'b1, next_tail = (tail == D - 1) ? '0 : tail + 1'b1;
  assign ar = ~full;
  always_ff @(posedge clk) if (push) words[head] <= a;
  always_ff @(posedge clk) if (~qv | qr) q <= words[tail];
  always_ff @(posedge clk)
    if (rst) begin head <= '0; tail <= '0; full <= 0; empty <= 1; qv <= 0; end
    else begin
      if (push) head <= next_head;
      if (pop) tail <= next_tail;
      if (push & ~pop) begin empty <= 0; full <= next_head == tail; end
      if (pop & ~push) begin full <= 0; empty <= next_tail == head; end
      if (~qv | qr) qv <= ~empty;
    end
endmodule

// OP: 0 add, 1 multiply, 2 compare. Parameters come from a memory that is counted on its own.
module channelwise #(parameter int PE = 1, parameter int WI = 8, parameter int WP = 4, parameter int WO = 9,
                     parameter int CF = 4, parameter int OP = 0) (
    input clk, input rst, input [PE*WI-1:0] a, input av, output ar, input [PE*WP-1:0] p,
    output logic [((CF>1)?$clog2(CF):1)-1:0] ch, output logic [PE*WO-1:0] q, output logic qv, input qr);
  wire go = av & ar;
  assign ar = ~qv | qr;
  always_ff @(posedge clk) if (rst) qv <= 0; else if (ar) qv <= av;
  if (CF > 1) begin : counter
    always_ff @(posedge clk) if (rst) ch <= '0; else if (go) ch <= (ch == CF - 1) ? '0 : ch + 1'b1;
  end else begin : none
    assign ch = '0;
  end
  for (genvar i = 0; i < PE; i++) begin : lane
    wire signed [WI-1:0] x = a[i*WI+:WI];
    wire signed [WP-1:0] y = p[i*WP+:WP];
    if (OP == 0) begin : add
      always_ff @(posedge clk) if (go) q[i*WO+:WO] <= WO'(x) + WO'(y);
    end else if (OP == 1) begin : mul
      wire signed [WI+WP-1:0] product;
      rowmul #(.W(WP), .A(WI), .ASGN(1), .M(WI+WP)) m (.w(y), .a(x), .p(product));
      always_ff @(posedge clk) if (go) q[i*WO+:WO] <= WO'(product);
    end else begin : cmp
      always_ff @(posedge clk) if (go) q[i*WO+:WO] <= WO'(x >= y);
    end
  end
endmodule

// Ripple rows: activation bit j adds the weight shifted by j to what has been summed above bit j.
module rowmul #(parameter int W = 4, parameter int A = 4, parameter bit ASGN = 0, parameter int M = 8) (
    input signed [W-1:0] w, input [A-1:0] a, output signed [M-1:0] p);
  wire signed [W+A-1:0] sum [A:0];
  assign sum[0] = '0;
  for (genvar j = 0; j < A; j++) begin : row
    wire signed [W-1:0] partial = a[j] ? w : '0;
    if (j == 0) assign sum[1] = (W+A)'(partial);
    else begin : add
      wire signed [W:0] high = $signed(sum[j]) >>> j;
      wire signed [W:0] s = (ASGN && j == A - 1) ? high - (W+1)'(partial) : high + (W+1)'(partial);
      assign sum[j+1] = {{(A-1-j){s[W]}}, s, sum[j][j-1:0]};
    end
  end
  assign p = sum[A][M-1:0];
endmodule
