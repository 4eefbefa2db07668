// Sum of N signed numbers of WI bits modulo 2^P: every level is one bit wider until P. A register behind every LEVELS
// levels and behind the last; their number is ceil(clog2(N) / LEVELS), which is the latency in cycles.
// Ports: all terms in, their sum out; registers wait for `en`.
// Resources: a LUT a bit of every adder.
`default_nettype none
module adder_tree #(parameter N = 4, parameter WI = 8, parameter P = 10, parameter LEVELS = 3, parameter AT = 1) (
    input wire clk, input wire en, input wire [N*WI-1:0] in_data, output wire signed [P-1:0] out_data);
  localparam H = (N + 1) / 2, WO = WI < P ? WI + 1 : P;
  genvar i;
  generate
    if (N == 1) begin : leaf
      assign out_data = $signed(in_data[WI-1:0]);
    end else begin : node
      wire [H*WO-1:0] sums;
      wire [H*WO-1:0] next;
      for (i = 0; i < N / 2; i = i + 1) begin : pair
        wire signed [WI-1:0] l = in_data[2*i*WI +: WI], r = in_data[(2*i+1)*WI +: WI];
        wire signed [WO-1:0] t = l + r;
        assign sums[i*WO +: WO] = t;
      end
      if (N % 2) begin : odd
        wire signed [WI-1:0] l = in_data[(N-1)*WI +: WI];
        wire signed [WO-1:0] t = l;
        assign sums[(H-1)*WO +: WO] = t;
      end
      if (AT == LEVELS || H == 1) begin : registered
        reg [H*WO-1:0] held;
        always @(posedge clk) if (en) held <= sums;
        assign next = held;
      end else begin : through
        assign next = sums;
      end
      adder_tree #(.N(H), .WI(WO), .P(P), .LEVELS(LEVELS), .AT(AT == LEVELS ? 1 : AT + 1))
          rest (.clk(clk), .en(en), .in_data(next), .out_data(out_data));
    end
  endgenerate
endmodule
`default_nettype wire
