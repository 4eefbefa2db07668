// One comparator per output bit. A stage's threshold comes from a memory that is counted on its own, one cycle after the
// address {channel, bits found so far} has left.
module block_search #(parameter int B = 4, parameter int P = 16, parameter int CF = 64) (
    input clk, input rst, input signed [P-1:0] a, input av, output ar,
    output [B*(B+$clog2(CF))-1:0] addresses, input [B*P-1:0] thresholds,
    output [B-1:0] q, output qv, input qr);
  localparam int C = $clog2(CF);
  wire free = ~qv | qr, go = av & free;
  wire [C-1:0] channel;
  wire last;
  logic signed [P-1:0] waiting [B], x [B];  // while the memory is read, and when it has been
  logic [C-1:0] c [B+1];
  logic [B-1:0] code [B+1];
  logic [2*B-1:0] valid;
  assign ar = free;
  assign {qv, q} = {valid[2*B-1], code[B]};
  assign code[0] = '0;
  assign c[0] = channel;
  counter #(.N(CF)) count (.clk, .rst, .step(go), .n(channel), .last);
  always_ff @(posedge clk) if (rst) valid <= '0; else if (free) valid <= {valid, av};
  for (genvar i = 0; i < B; i++) begin : stage
    wire above = x[i] >= $signed(thresholds[i*P+:P]);
    logic [C-1:0] c1;
    logic [B-1:0] code1;
    assign addresses[i*(B+C)+:B+C] = {c[i], code[i]};
    always_ff @(posedge clk) if (free) begin
      waiting[i] <= i == 0 ? a : x[(i+B-1)%B];
      x[i] <= waiting[i];
      {c1, code1} <= {c[i], code[i]};
      {c[i+1], code[i+1]} <= {c1, code1[B-2:0], above};
    end
  end
endmodule

// A sum of P bits clipped to the V bits that thresholds compare: their values do not grow with the accumulator.
module saturation #(parameter int P = 32, parameter int V = 10) (
    input clk, input signed [P-1:0] a, output logic signed [V-1:0] q);
  logic signed [P-1:0] x;
  wire fits = x[P-1:V-1] == {(P-V+1){x[P-1]}};
  always_ff @(posedge clk) begin
    x <= a;
    q <= fits ? x[V-1:0] : {x[P-1], {(V-1){~x[P-1]}}};
  end
endmodule
