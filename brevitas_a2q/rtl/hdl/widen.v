// Joins N words of W bits to one, the first in the low bits.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle behind the last of the N words. Resources: N*W registers.
`default_nettype none
module widen #(parameter W = 4, parameter N = 2) (
    input wire clk, input wire rst,
    input wire [W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [N*W-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam B = $clog2(N + 1);
  reg [N*W-1:0] data;
  reg [B-1:0] n;
  wire put = in_valid & in_ready;
  assign out_valid = n == N;
  assign in_ready = ~out_valid | out_ready;
  assign out_data = data;
  always @(posedge clk) begin
    if (put) data <= {in_data, data[N*W-1:W]};
    if (rst) n <= 0;
    else if (out_valid & out_ready) n <= put ? 1 : 0;
    else if (put) n <= n + 1'b1;
  end
endmodule
`default_nettype wire
