// SH-1 rows and SW-1 columns of zeros between the pixels of an image of H x W pixels of CF words of B bits.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle. Latency: one cycle.
// Resources: counters over the image and the zeros between its pixels; zeros are the reset of the output register.
`default_nettype none
module pixel_pad #(parameter H = 8, parameter W = 8, parameter SH = 2, parameter SW = 2, parameter CF = 1,
                   parameter B = 8) (
    input wire clk, input wire rst,
    input wire [B-1:0] in_data, input wire in_valid, output wire in_ready,
    output reg [B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam HH = (H - 1) * SH + 1, WW = (W - 1) * SW + 1;
  wire last_word, last_column, last_row;
  wire [(SH > 1 ? $clog2(SH) : 1)-1:0] dy;
  wire [(SW > 1 ? $clog2(SW) : 1)-1:0] dx;
  wire free = ~out_valid | out_ready;
  wire inner = dy == 0 & dx == 0;
  wire go = free & (in_valid | ~inner);
  wire pixel = go & last_word, row = pixel & last_column;
  assign in_ready = free & inner;
  counter #(.N(CF)) words (.clk(clk), .rst(rst), .step(go), .n(), .last(last_word));
  counter #(.N(WW)) columns (.clk(clk), .rst(rst), .step(pixel), .n(), .last(last_column));
  counter #(.N(HH)) rows (.clk(clk), .rst(rst), .step(row), .n(), .last(last_row));
  counter #(.N(SW)) between_columns (.clk(clk), .rst(rst | row), .step(pixel), .n(dx), .last());
  counter #(.N(SH)) between_rows (.clk(clk), .rst(rst | (row & last_row)), .step(row), .n(dy), .last());
  always @(posedge clk) begin
    if (rst) out_valid <= 0; else if (free) out_valid <= go;
    if (free) out_data <= inner ? in_data : {B{1'b0}};
  end
endmodule
`default_nettype wire
