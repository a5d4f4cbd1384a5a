// Registers of qlight_dma, compatible with AXI DMA in direct register mode (AMD PG021): channel 0 is MM2S (byte offsets from 00 on), 1 is
// S2MM (from 30 on).
//
// +00 CR: bit 0 RS, bit 2 reset (of both channels; reads 1 until it is over). +04 SR: bits 0 halted, 1 idle, 4 internal error, 5 slave
// error, 6 decode error; 12 IOC, 14 error (writing 1 clears these two). +18 SA or DA, +1C its upper half (reads 0). +28 LENGTH in 26 bits:
// writing it starts a transfer where the channel runs and is idle; of channel 1 it reads the bytes that came. Other registers read 0,
// there are no interrupts. Writes count as whole words only.
//
// Addresses and lengths are multiples of 4: another one, and the length 0, is an internal error, and nothing is moved. An error halts its
// channel, and RS stays 0 until a reset. Clearing RS aborts a transfer: the channel is halted when nothing of it is outstanding.
module qlight_dma_registers (
    input  logic             clk,
    input  logic             rst_n,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 7:0]      s_axi_awaddr,   // registers are words: the lowest two bits do not count
    // verilator lint_on UNUSEDSIGNAL
    input  logic             s_axi_awvalid,
    output logic             s_axi_awready,
    input  logic [31:0]      s_axi_wdata,
    input  logic [ 3:0]      s_axi_wstrb,
    input  logic             s_axi_wvalid,
    output logic             s_axi_wready,
    output logic [ 1:0]      s_axi_bresp,
    output logic             s_axi_bvalid,
    input  logic             s_axi_bready,
    // verilator lint_off UNUSEDSIGNAL
    input  logic [ 7:0]      s_axi_araddr,
    // verilator lint_on UNUSEDSIGNAL
    input  logic             s_axi_arvalid,
    output logic             s_axi_arready,
    output logic [31:0]      s_axi_rdata,
    output logic [ 1:0]      s_axi_rresp,
    output logic             s_axi_rvalid,
    input  logic             s_axi_rready,
    // To and from the engines.
    output logic [ 1:0]      start,
    output logic [31:2]      address,        // of the channel that starts
    output logic [23:0]      words,
    output logic [ 1:0]      halt,
    input  logic [ 1:0]      busy,
    input  logic [ 1:0]      done,
    input  logic [ 1:0][2:0] error,          // {decode, slave, internal}, with `done`
    input  logic [23:0]      taken           // words that channel 1 has moved
);
  // Word offsets within a channel, and the first one of channel 1.
  localparam logic [5:0] CR = 6'h00, SR = 6'h01, SA = 6'h06, LENGTH = 6'h0A, CHANNEL = 6'h0C;

  // ---- A write when its address and data are both there.
  logic write, write_channel, read, read_channel;
  logic [5:0] write_place, read_place;
  assign write = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid;
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_bresp = 2'b00;
  assign write_channel = s_axi_awaddr[7:2] >= CHANNEL;
  assign write_place = write_channel ? s_axi_awaddr[7:2] - CHANNEL : s_axi_awaddr[7:2];
  assign read = s_axi_arvalid && s_axi_arready;
  assign s_axi_arready = !s_axi_rvalid;
  assign s_axi_rresp = 2'b00;
  assign read_channel = s_axi_araddr[7:2] >= CHANNEL;
  assign read_place = read_channel ? s_axi_araddr[7:2] - CHANNEL : s_axi_araddr[7:2];

  // ---- The channels.
  logic resetting;
  logic [1:0] run, stopping, idle, complete, error_event;
  logic [1:0][2:0] errors;
  logic [1:0][31:0] from;
  logic [1:0][25:0] length;
  logic [1:0] set_control, clear_events, set_from, set_length, wrong;
  assign halt = stopping | {2{resetting}};
  assign address = from[write_channel][31:2];
  assign words = s_axi_wdata[25:2];
  always_comb begin
    for (int c = 0; c < 2; c++) begin
      set_control[c] = write && s_axi_wstrb == '1 && write_channel == 1'(c) && write_place == CR && !resetting;
      clear_events[c] = write && s_axi_wstrb == '1 && write_channel == 1'(c) && write_place == SR;
      set_from[c] = write && s_axi_wstrb == '1 && write_channel == 1'(c) && write_place == SA;
      set_length[c] = write && s_axi_wstrb == '1 && write_channel == 1'(c) && write_place == LENGTH && run[c] && !busy[c] && !resetting;
      wrong[c] = s_axi_wdata[25:0] == '0 || s_axi_wdata[1:0] != '0 || from[c][1:0] != '0;
      start[c] = set_length[c] && !wrong[c];
    end
  end

  always_ff @(posedge clk) begin
    if (!rst_n) resetting <= 1'b0;
    else if (|set_control && s_axi_wdata[2]) resetting <= 1'b1;
    else if (busy == '0) resetting <= 1'b0;
    for (int c = 0; c < 2; c++) begin
      if (!rst_n || resetting) begin
        run[c] <= 1'b0;
        stopping[c] <= 1'b0;
        idle[c] <= 1'b0;
        complete[c] <= 1'b0;
        error_event[c] <= 1'b0;
        errors[c] <= '0;
        from[c] <= '0;
        length[c] <= '0;
      end else begin
        if (clear_events[c] && s_axi_wdata[12]) complete[c] <= 1'b0;
        if (clear_events[c] && s_axi_wdata[14]) error_event[c] <= 1'b0;
        if (set_from[c]) from[c] <= s_axi_wdata;
        if (!busy[c]) stopping[c] <= 1'b0;
        if (set_control[c] && !s_axi_wdata[0] && run[c]) begin
          run[c] <= 1'b0;
          idle[c] <= 1'b1;
          stopping[c] <= 1'b1;
        end
        if (set_control[c] && s_axi_wdata[0] && !stopping[c] && errors[c] == '0) run[c] <= 1'b1;
        if (set_length[c]) begin
          length[c] <= s_axi_wdata[25:0];
          idle[c] <= 1'b0;
        end
        if (done[c] && error[c] == '0) begin
          idle[c] <= 1'b1;
          complete[c] <= 1'b1;
          if (c == 1) length[c] <= {taken, 2'b00};
        end
        if ((done[c] && error[c] != '0) || (set_length[c] && wrong[c])) begin
          run[c] <= 1'b0;
          error_event[c] <= 1'b1;
          errors[c] <= set_length[c] ? 3'b001 : error[c];
        end
      end
    end
  end

  // ---- Answers.
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      s_axi_bvalid <= 1'b0;
      s_axi_rvalid <= 1'b0;
    end else begin
      if (write) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
      if (read) s_axi_rvalid <= 1'b1;
      else if (s_axi_rready) s_axi_rvalid <= 1'b0;
    end
    if (read)
      case (read_place)
        CR: s_axi_rdata <= {29'd0, resetting, 1'b0, run[read_channel]};
        SR:
        s_axi_rdata <= {
          17'd0,
          error_event[read_channel],
          1'b0,
          complete[read_channel],
          5'd0,
          errors[read_channel],
          2'd0,
          idle[read_channel],
          !run[read_channel] && !stopping[read_channel]
        };
        SA: s_axi_rdata <= from[read_channel];
        LENGTH: s_axi_rdata <= {6'd0, length[read_channel]};
        default: s_axi_rdata <= '0;
      endcase
  end
endmodule
