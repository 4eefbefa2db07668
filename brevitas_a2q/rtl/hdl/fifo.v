// First-in first-out buffer of D words of W bits. A word that goes in comes out one cycle later at the earliest.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in and one out a cycle. Two words are registers. More are a memory: LUTs, read as a word leaves, or with
// BLOCK = 1 block RAM with a register behind it, which is one of the D words (latency two cycles).
// Resources: D words of W bits: registers and a multiplexer for two words, LUTs or block RAM and counters for more.
`default_nettype none
module fifo #(parameter W = 8, parameter D = 2, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [W-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam M = BLOCK && D > 3 ? D - 1 : D;  // words in the memory
  localparam B = M > 1 ? $clog2(M) : 1, C = $clog2(M + 1);
  generate if (D == 2) begin : registers
    reg [W-1:0] first, second;
    reg one, two;  // how many words are here, a bit each: what selects words is a register, and two bits share a LUT
    assign in_ready = ~two;
    assign out_data = first;
    assign out_valid = one;
    always @(posedge clk) begin
      if (~two) second <= in_data;
      if (~one | out_ready) first <= two ? second : in_data;
      if (rst) begin one <= 0; two <= 0; end
      else begin
        one <= two | in_valid | (one & ~out_ready);
        two <= one & ~out_ready & (two | in_valid);
      end
    end
  end else begin : memory
    wire put = in_valid & in_ready;
    wire get;
    reg [C-1:0] n;
    wire [B-1:0] wp, rp;
    assign in_ready = n != M;
    always @(posedge clk)
      if (rst) n <= 0;
      else if (put & ~get) n <= n + 1'b1;
      else if (get & ~put) n <= n - 1'b1;
    counter #(.N(M)) write (.clk(clk), .rst(rst), .step(put), .n(wp), .last());
    counter #(.N(M)) read (.clk(clk), .rst(rst), .step(get), .n(rp), .last());
    if (M != D) begin : block
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
    end
  end endgenerate
endmodule
`default_nettype wire
