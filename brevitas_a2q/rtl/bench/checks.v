// Test bench pieces for simulators of Verilog: a reader of input words, a comparison of a unit's words, a FIFO's fill.
`default_nettype none
module words_in #(parameter W = 8, parameter TOTAL = 1, parameter PER_IMAGE = 1, parameter FILE = "",
                  parameter SEED = 1) (
    input wire clk, input wire enabled, input wire [31:0] gap, input wire ready, output wire [W-1:0] data,
    output reg valid, input wire [31:0] cycle);
  integer file, sent, code, seed;
  reg [W-1:0] word, next;
  assign data = word;
  initial begin seed = SEED + 1; sent = 0; valid = 0; word = 0; file = $fopen(FILE, "r"); end
  always @(posedge clk) if (enabled) begin
    if (valid & ready) begin
      if (sent % PER_IMAGE == 0) $display("START %0d", cycle);
      sent = sent + 1;
    end
    if (~valid | ready) begin
      if (sent < TOTAL && $unsigned($random(seed)) % 1000 >= gap) begin
        code = $fscanf(file, "%h", next); word <= next; valid <= 1;
      end else valid <= 0;
    end
  end
endmodule

module words_out #(parameter W = 8, parameter TOTAL = 1, parameter PER_IMAGE = 1, parameter INDEX = 0,
                   parameter OUTPUT = 0, parameter FILE = "") (
    input wire clk, input wire enabled, input wire [W-1:0] data, input wire moved, output wire complete,
    input wire [31:0] cycle);
  integer file, seen, wrong, first_wrong, code;
  reg [W-1:0] word, got;
  assign complete = seen >= TOTAL;
  initial begin seen = 0; wrong = 0; first_wrong = 0; got = 0; file = $fopen(FILE, "r"); end
  always @(posedge clk) if (enabled & moved) begin
    if (seen < TOTAL) begin
      code = $fscanf(file, "%h", word);
      if (data !== word) begin
        if (wrong == 0) begin first_wrong = seen; got = data; end
        wrong = wrong + 1;
      end
    end
    seen = seen + 1;
    if (OUTPUT && seen % PER_IMAGE == 0) $display("END %0d %0d", INDEX, cycle);
  end
  task report; $display("TAP %0d %0d %0d %0d %h", INDEX, seen, wrong, first_wrong, got); endtask
endmodule

module fill #(parameter INDEX = 0) (input wire clk, input wire enabled, input wire put, input wire got);
  integer now, most;
  initial begin now = 0; most = 0; end
  always @(posedge clk) if (enabled) begin
    now = now + put - got;
    if (now > most) most = now;
  end
  task report; $display("FILL %0d %0d", INDEX, most); endtask
endmodule

module flag #(parameter INDEX = 0) (input wire clk, input wire enabled, input wire overflow);
  integer count;
  initial count = 0;
  always @(posedge clk) if (enabled & overflow) count = count + 1;
  task report; $display("OVERFLOW %0d %0d", INDEX, count); endtask
endmodule
`default_nettype wire
