// A read-only memory with pseudo-random contents.
module read_only #(parameter int D = 64, parameter int W = 8) (
    input clk, input [$clog2(D)-1:0] address, output logic [W-1:0] q);
  (* ram_style = "logic", rom_style = "distributed" *) logic [W-1:0] words [0:D-1];
  logic [31:0] state;
  initial begin
    state = 32'd12345;
    for (int i = 0; i < D; i++) begin
      for (int j = 0; j < W; j++) begin
        state = state ^ (state << 13);
        state = state ^ (state >> 17);
        state = state ^ (state << 5);
        words[i][j] = state[7];
      end
    end
  end
  always_ff @(posedge clk) q <= words[address];
endmodule
