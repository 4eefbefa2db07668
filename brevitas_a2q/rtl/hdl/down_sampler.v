// Every SH-th row's every SW-th pixel of an image of H x W pixels of CF words of B bits.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle. Latency: one cycle.
// Resources: counters over rows, columns and words of a pixel, about six LUTs, an output register.
`default_nettype none
module down_sampler #(parameter H = 8, parameter W = 8, parameter SH = 2, parameter SW = 2, parameter CF = 1,
                      parameter B = 4) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [B-1:0] out_data, output reg out_valid, input wire out_ready);
  wire last_word, last_column, last_row;
  wire [(SH > 1 ? $clog2(SH) : 1)-1:0] dy;
  wire [(SW > 1 ? $clog2(SW) : 1)-1:0] dx;
  wire kept = dy == 0 & dx == 0;
  wire free = ~out_valid | out_ready, go = in_valid & in_ready;
  wire pixel = go & last_word, row = pixel & last_column;
  assign in_ready = free | ~kept;
  counter #(.N(CF)) words (.clk(clk), .rst(rst), .step(go), .n(), .last(last_word));
  counter #(.N(W)) columns (.clk(clk), .rst(rst), .step(pixel), .n(), .last(last_column));
  counter #(.N(H)) rows (.clk(clk), .rst(rst), .step(row), .n(), .last(last_row));
  counter #(.N(SW)) between_columns (.clk(clk), .rst(rst | row), .step(pixel), .n(dx), .last());
  counter #(.N(SH)) between_rows (.clk(clk), .rst(rst | (row & last_row)), .step(row), .n(dy), .last());
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go & kept;
    if (go & kept) out_data <= in_data;
  end
endmodule
`default_nettype wire
