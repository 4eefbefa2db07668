// How many of a channel's rising thresholds are at or below x: a binary search, one comparison a stage.
//   Stage s asks the threshold of (channel, bits found so far) in the file {FILE}_{INDEX, 4 digits}_{s, 2 digits}.mem; they
//   are stored less one, so that x > t - 1 replaces x >= t and the values themselves decide the width T.
// Ports: a value and its channel in, the code out; all registers wait for `en`.
// Rate: one x a cycle. Latency: B cycles, 2B with BLOCK (thresholds in block RAM, for which a stage reads first).
// Resources: a comparator of P bits and 2^s * CF words of T bits in stage s.
`default_nettype none
module search #(parameter P = 10, parameter T = 10, parameter B = 4, parameter CF = 32, parameter INDEX = 0,
                parameter FILE = "t", parameter BLOCK = 0) (
    input wire clk, input wire en, input wire signed [P-1:0] x, input wire [(CF > 1 ? $clog2(CF) : 1)-1:0] channel,
    output wire [B-1:0] code);
  localparam C = CF > 1 ? $clog2(CF) : 1;
  localparam [7:0] N3 = 48 + INDEX / 1000 % 10, N2 = 48 + INDEX / 100 % 10, N1 = 48 + INDEX / 10 % 10, N0 = 48 + INDEX % 10;
  genvar s;
  generate for (s = 0; s < B; s = s + 1) begin : stage
    localparam [7:0] S1 = 48 + s / 10, S0 = 48 + s % 10;
    localparam DEPTH = CF << s, AB = DEPTH > 1 ? $clog2(DEPTH) : 1;
    wire signed [P-1:0] xi;
    wire [C-1:0] ci;
    wire [B-1:0] found;
    if (s == 0) begin : enter
      assign xi = x; assign ci = channel; assign found = {B{1'b0}};
    end else begin : follow
      assign xi = stage[s-1].x_out; assign ci = stage[s-1].c_out; assign found = stage[s-1].code_out;
    end
    wire [AB-1:0] address;
    if (CF == 1 && s == 0) begin : only assign address = 1'b0; end
    else if (CF == 1) begin : by_code assign address = found[s-1:0]; end
    else if (s == 0) begin : by_channel assign address = ci; end
    else begin : by_both assign address = {ci, found[s-1:0]}; end
    reg signed [P-1:0] x_out;
    reg [C-1:0] c_out;
    reg [B-1:0] code_out;
    if (BLOCK) begin : block
      (* ram_style = "block", rom_style = "block" *) reg [T-1:0] rom [0:DEPTH-1];
      initial $readmemh({FILE, "_", N3, N2, N1, N0, "_", S1, S0, ".mem"}, rom);
      reg signed [T-1:0] t;
      reg signed [P-1:0] x_read;
      reg [C-1:0] c_read;
      reg [B-1:0] found_read;
      always @(posedge clk) if (en) begin
        t <= rom[address]; x_read <= xi; c_read <= ci; found_read <= found;
        x_out <= x_read; c_out <= c_read; code_out <= {found_read, x_read > t};
      end
    end else begin : distributed
      (* ram_style = "logic", rom_style = "distributed" *) reg [T-1:0] rom [0:DEPTH-1];
      initial $readmemh({FILE, "_", N3, N2, N1, N0, "_", S1, S0, ".mem"}, rom);
      wire signed [T-1:0] t = rom[address];
      always @(posedge clk) if (en) begin
        x_out <= xi; c_out <= ci; code_out <= {found, xi > t};
      end
    end
  end endgenerate
  assign code = stage[B-1].code_out;
endmodule
`default_nettype wire
