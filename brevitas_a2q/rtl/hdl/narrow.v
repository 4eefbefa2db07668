// Splits a word into N words of W bits, the low bits first.
// Rate: one word out a cycle. Latency: one cycle. Resources: N*W registers and the multiplexers in front of them.
`default_nettype none
module narrow #(parameter W = 4, parameter N = 2) (
    input wire clk, input wire rst,
    input wire [N*W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [W-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam B = $clog2(N + 1);
  reg [N*W-1:0] data;
  reg [B-1:0] n;  // words left
  wire put = in_valid & in_ready, get = out_valid & out_ready;
  assign out_valid = n != 0;
  assign in_ready = n == 0 | (n == 1 & out_ready);
  assign out_data = data[W-1:0];
  always @(posedge clk) begin
    if (put) data <= in_data; else if (get) data <= data >> W;
    if (rst) n <= 0;
    else if (put) n <= N;
    else if (get) n <= n - 1'b1;
  end
endmodule
`default_nettype wire
