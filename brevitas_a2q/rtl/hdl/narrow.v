// Splits a word into N words of W bits, the low bits first.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle. Latency: one cycle. Resources: N*W registers and the multiplexers in front of them.
`default_nettype none
module narrow #(parameter W = 4, parameter N = 2) (
    input wire clk, input wire rst,
    input wire [N*W-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [W-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam B = N > 2 ? $clog2(N - 1) : 1;
  reg [N*W-1:0] data;
  reg [B-1:0] behind;  // words behind the next one
  reg valid, last;     // last: this is the last word, or there is none
  wire step = ~valid | out_ready;
  assign out_valid = valid;
  assign in_ready = last & step;
  assign out_data = data[W-1:0];
  always @(posedge clk) if (step) data <= last ? in_data : data >> W;
  always @(posedge clk) begin
    if (step) behind <= last ? N - 2 : behind - 1'b1;
    if (rst) begin valid <= 0; last <= 1; end
    else if (step) begin
      if (last) valid <= in_valid;
      last <= last ? ~in_valid : behind == 0;
    end
  end
endmodule
`default_nettype wire
