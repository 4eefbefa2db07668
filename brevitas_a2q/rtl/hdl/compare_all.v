// How many of a channel's rising thresholds are at or below x: all comparisons at once, whose results a binary search
// then picks from. A channel's 2^B - 1 thresholds are one word of the file {FILE}_{INDEX, 4 digits}.mem, the lowest in
// the low bits, stored less one as in search.v.
// Rate: one x a cycle. Latency: two cycles.
// Resources: 2^B - 1 comparators of P bits, CF words of (2^B - 1) * T bits.
`default_nettype none
module compare_all #(parameter P = 10, parameter T = 10, parameter B = 4, parameter CF = 32, parameter INDEX = 0,
                     parameter FILE = "t") (
    input wire clk, input wire en, input wire signed [P-1:0] x, input wire [(CF > 1 ? $clog2(CF) : 1)-1:0] channel,
    output reg [B-1:0] code);
  localparam N = (1 << B) - 1;
  localparam [7:0] N3 = 48 + INDEX / 1000 % 10, N2 = 48 + INDEX / 100 % 10, N1 = 48 + INDEX / 10 % 10, N0 = 48 + INDEX % 10;
  wire [(CF > 1 ? $clog2(CF) : 1)-1:0] address = CF > 1 ? channel : 1'b0;
  (* ram_style = "logic", rom_style = "distributed" *) reg [N*T-1:0] rom [0:CF-1];
  initial $readmemh({FILE, "_", N3, N2, N1, N0, ".mem"}, rom);
  wire [N*T-1:0] row = rom[address];
  genvar k;
  wire [N-1:0] above;
  generate for (k = 0; k < N; k = k + 1) begin : comparison
    wire signed [T-1:0] t = row[k*T +: T];
    assign above[k] = x > t;
  end endgenerate
  reg [N-1:0] reached;
  always @(posedge clk) if (en) reached <= above;
  // The middle result is the highest bit; the half that it points at holds the others.
  wire [B-1:0] found;
  generate for (k = 0; k < B; k = k + 1) begin : stage
    localparam L = (1 << (B - k)) - 1;  // results left
    wire [L-1:0] left;
    if (k == 0) begin : all assign left = reached; end
    else begin : half assign left = found[B-k] ? stage[k-1].left[2*L : L+1] : stage[k-1].left[L-1:0]; end
    assign found[B-1-k] = left[L/2];
  end endgenerate
  always @(posedge clk) if (en) code <= found;
endmodule
`default_nettype wire
