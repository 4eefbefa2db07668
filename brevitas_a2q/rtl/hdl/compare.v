// How many of a channel's rising thresholds lie below x: all N are compared at once, then counted.
//   Word c of the file {FILE}_{INDEX, 4 digits}_00.mem has the thresholds of channel c less one, the lowest in the lowest T
//   bits: x > t - 1 replaces x >= t, and the values themselves decide the width T.
// Ports: a value and its channel in, the code out; all registers wait for `en`.
// Rate: one x a cycle. Latency: one cycle.
// Resources: N comparators of P bits, a count of N bits, CF words of N * T bits.
`default_nettype none
module compare #(parameter P = 10, parameter T = 10, parameter N = 3, parameter B = 2, parameter CF = 1, parameter INDEX = 0,
                 parameter FILE = "t") (
    input wire clk, input wire en, input wire signed [P-1:0] x, input wire [(CF > 1 ? $clog2(CF) : 1)-1:0] channel,
    output reg [B-1:0] code);
  localparam [7:0] N3 = 48 + INDEX / 1000 % 10, N2 = 48 + INDEX / 100 % 10, N1 = 48 + INDEX / 10 % 10, N0 = 48 + INDEX % 10;
  (* ram_style = "logic", rom_style = "distributed" *) reg [N*T-1:0] rom [0:CF-1];
  initial $readmemh({FILE, "_", N3, N2, N1, N0, "_00.mem"}, rom);
  wire [N*T-1:0] row = rom[CF > 1 ? channel : 1'b0];
  wire [N-1:0] above;
  genvar i;
  generate for (i = 0; i < N; i = i + 1) begin : each
    wire signed [T-1:0] t = row[i*T +: T];
    assign above[i] = x > t;
  end endgenerate
  integer k;
  reg [B-1:0] count;
  always @* begin
    count = 0;
    for (k = 0; k < N; k = k + 1) count = count + above[k];
  end
  always @(posedge clk) if (en) code <= count;
endmodule
`default_nettype wire
