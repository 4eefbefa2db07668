// Indices of the K highest of N labels of A bits, PE labels a word; the highest first, equal ones in their order.
// Ports: one stream in and one out (data, valid, ready), the first element in the low bits.
// Rate: one word in a cycle, K words out an image. Latency: one cycle behind the last label.
// Resources: PE * K comparators of A bits, which insert into a list of K labels and indices in registers.
`default_nettype none
module label_select #(parameter N = 10, parameter PE = 1, parameter A = 12, parameter SIGNED = 1, parameter K = 1,
                      parameter OUT = 4) (
    input wire clk, input wire rst,
    input wire [PE*A-1:0] in_data, input wire in_valid, output wire in_ready,
    output wire [OUT-1:0] out_data, output wire out_valid, input wire out_ready);
  localparam NF = N / PE, FB = NF > 1 ? $clog2(NF) : 1, IB = N > 1 ? $clog2(N) : 1, LB = $clog2(K + 1);
  wire [FB-1:0] word;
  wire last;
  reg [LB-1:0] left;
  wire go = in_valid & in_ready, get = out_valid & out_ready;
  assign in_ready = ~last | left == 0 | (left == 1 & out_ready);
  counter #(.N(NF)) words (.clk(clk), .rst(rst), .step(go), .n(word), .last(last));
  reg [K*A-1:0] values, values_next;
  reg [K*IB-1:0] indices, indices_next;
  reg [K-1:0] used, used_next;
  reg [K*IB-1:0] result;
  reg [A-1:0] v, swap_v;
  reg [IB-1:0] n, swap_n;
  reg present, swap_present, higher;
  integer i, k;
  always @* begin
    values_next = values; indices_next = indices; used_next = word == 0 ? {K{1'b0}} : used;
    for (i = 0; i < PE; i = i + 1) begin
      v = in_data[i*A +: A]; n = word * PE + i; present = 1'b1;
      for (k = 0; k < K; k = k + 1) begin
        higher = SIGNED ? $signed(v) > $signed(values_next[k*A +: A]) : v > values_next[k*A +: A];
        if (present & (~used_next[k] | higher)) begin
          swap_v = values_next[k*A +: A]; swap_n = indices_next[k*IB +: IB]; swap_present = used_next[k];
          values_next[k*A +: A] = v; indices_next[k*IB +: IB] = n; used_next[k] = 1'b1;
          v = swap_v; n = swap_n; present = swap_present;
        end else begin
          swap_v = v; swap_n = n; swap_present = present;
        end
      end
    end
  end
  assign out_valid = left != 0;
  assign out_data = result[IB-1:0];
  always @(posedge clk) begin
    if (go) begin values <= values_next; indices <= indices_next; used <= used_next; end
    if (go & last) result <= indices_next; else if (get) result <= result >> IB;
    if (rst) left <= 0;
    else if (go & last) left <= K;
    else if (get) left <= left - 1'b1;
  end
endmodule
`default_nettype wire
