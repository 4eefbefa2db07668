// What is proved of a dot product of one row (PE = NF = 1): after every addition the accumulator is the exact sum. Only
// for formal proofs. The files low.mem and high.mem hold, for each number of words, the interval of their exact sum.
// Ports: the signals of dot_product.v that it watches. Latency and resources: none, it is no part of the hardware.
`default_nettype none
module dot_product_proof #(parameter SF = 9, parameter S = 3, parameter P = 12, parameter E = 20) (
    input wire clk, input wire rst, input wire en, input wire [S-1:0] valid,
    input wire [(SF > 1 ? $clog2(SF) : 1)-1:0] sf, input wire signed [P-1:0] accumulator, input wire signed [E-1:0] exact);
  localparam B = $clog2(SF + 1);
  reg signed [63:0] low [0:SF-1];
  reg signed [63:0] high [0:SF-1];
  initial $readmemh("low.mem", low);
  initial $readmemh("high.mem", high);
  reg [B-1:0] count;  // words in the accumulator, SF when a sum is complete; 0 before the first
  reg started;
  initial started = 0;
  always @(posedge clk) begin
    started <= 1;
    if (rst) count <= 0;
    else if (valid[S-1]) count <= count == SF || count == 0 ? 1 : count + 1'b1;
  end
  integer i;
  reg [15:0] flying;  // words in the stages in front of the accumulator
  always @* begin
    flying = 0;
    for (i = 0; i < S; i = i + 1) flying = flying + valid[i];
  end
  wire [31:0] sent = (count == SF ? 0 : count) + flying;
  wire signed [63:0] wide = exact;
  always @* begin
    assume (en);                // nothing stalls: a stall only repeats a state
    assume (rst == ~started);
    if (started) begin
      assert (count <= SF);
      assert (sf == sent % SF);
      if (count != 0) begin
        assert (wide >= low[count - 1] && wide <= high[count - 1]);
        assert (exact == accumulator);
      end
    end
  end
endmodule
`default_nettype wire
