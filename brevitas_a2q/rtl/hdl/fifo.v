// First-in first-out buffer of D words of W bits. A word that goes in comes out one cycle later at the earliest.
// Rate: one word in and one out a cycle. BLOCK = 0: LUT memory, read as it leaves; 1: block RAM with a register behind
// it, which is one of the D words (latency two cycles).
`default_nettype none
module fifo #(parameter W = 8, parameter D = 2, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [W-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam M = BLOCK ? D - 1 : D;  // words in the memory
  localparam B = M > 1 ? $clog2(M) : 1, C = $clog2(M + 1);
  reg [B-1:0] wp, rp;
  reg [C-1:0] n;
  wire put = in_valid & in_ready;
  wire get;
  assign in_ready = n != M;
  always @(posedge clk)
    if (rst) begin wp <= 0; rp <= 0; n <= 0; end
    else begin
      if (put) wp <= wp == M - 1 ? {B{1'b0}} : wp + 1'b1;
      if (get) rp <= rp == M - 1 ? {B{1'b0}} : rp + 1'b1;
      if (put & ~get) n <= n + 1'b1; else if (get & ~put) n <= n - 1'b1;
    end
  generate if (BLOCK) begin : block
    (* ram_style = "block" *) reg [W-1:0] mem [0:M-1];
    reg [W-1:0] q;
    reg v;
    assign out_data = q;
    assign out_valid = v;
    assign get = n != 0 & (~v | out_ready);
    always @(posedge clk) begin
      if (put) mem[wp] <= in_data;
      if (get) q <= mem[rp];
      if (rst) v <= 0; else if (~v | out_ready) v <= get;
    end
  end else begin : distributed
    (* ram_style = "distributed" *) reg [W-1:0] mem [0:M-1];
    assign out_data = mem[rp];
    assign out_valid = n != 0;
    assign get = out_valid & out_ready;
    always @(posedge clk) if (put) mem[wp] <= in_data;
  end endgenerate
endmodule
`default_nettype wire
