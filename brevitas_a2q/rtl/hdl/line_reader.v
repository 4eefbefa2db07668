// Every row of W words SY times, every word SX times: nearest-neighbour upsampling (SHUFFLE = 0), or depth to space (1),
// where the copies differ: copy (dy, dx) of a word of C*SY*SX elements of B bits holds elements (c*SY + dy)*SX + dx.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word out a cycle. Latency: one cycle.
// Resources: a row of W words in LUTs (none with SY = 1), counters over words and copies, an output register.
`default_nettype none
module line_reader #(parameter W = 8, parameter SY = 2, parameter SX = 2, parameter C = 1, parameter B = 8,
                     parameter SHUFFLE = 0, parameter BLOCK = 0) (
    input wire clk, input wire rst,
    input wire [(SHUFFLE ? SY*SX : 1)*C*B-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [C*B-1:0] out_data, output reg out_valid, input wire out_ready);
  localparam N = (SHUFFLE ? SY*SX : 1) * C * B, XB = W > 1 ? $clog2(W) : 1;
  localparam YB = SY > 1 ? $clog2(SY) : 1, DB = SX > 1 ? $clog2(SX) : 1;
  wire [XB-1:0] x;
  wire [YB-1:0] row;  // of the word that comes next
  reg [YB-1:0] dy;    // of the word that is here
  wire [DB-1:0] dx;
  wire last_x, last_dx;
  reg [N-1:0] word;
  wire load = ~out_valid | (out_ready & last_dx);
  wire fresh = row == 0;
  wire go = load & (in_valid | ~fresh);
  assign in_ready = load & fresh;
  counter #(.N(SX)) copies (.clk(clk), .rst(rst), .step(out_valid & out_ready), .n(dx), .last(last_dx));
  counter #(.N(W)) words (.clk(clk), .rst(rst), .step(go), .n(x), .last(last_x));
  counter #(.N(SY)) rows (.clk(clk), .rst(rst), .step(go & last_x), .n(row), .last());
  generate if (SY > 1) begin : lines
    (* ram_style = "distributed" *) reg [N-1:0] line [0:W-1];
    always @(posedge clk) begin
      if (go & fresh) line[x] <= in_data;
      if (load) word <= fresh ? in_data : line[x];
    end
  end else begin : no_lines
    always @(posedge clk) if (load) word <= in_data;
  end endgenerate
  always @(posedge clk) begin
    if (go) dy <= row;
    if (rst) out_valid <= 0; else if (load) out_valid <= go;
  end
  genvar c;
  generate if (SHUFFLE) begin : shuffled
    for (c = 0; c < C; c = c + 1) begin : channel
      assign out_data[c*B +: B] = word[((c*SY + dy)*SX + dx)*B +: B];
    end
  end else begin : copied
    assign out_data = word;
  end endgenerate
endmodule
`default_nettype wire
