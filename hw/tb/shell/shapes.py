"""Cases of qlight_shell, and a top with an accelerator that gives every word back: qlight_control, its pipeline a wire."""

from collections.abc import Sequence

from hw.tb.common.axi3 import PORTS as AXI3
from hw.tb.common.cases import Case

IMAGE_WORDS = 5
_HP = """
output m_hp_araddr:32 m_hp_arlen:4 m_hp_arsize:2 m_hp_arburst:2 m_hp_arvalid m_hp_rready
input m_hp_arready m_hp_rdata:64 m_hp_rresp:2 m_hp_rvalid
output m_hp_awaddr:32 m_hp_awlen:4 m_hp_awsize:2 m_hp_awburst:2 m_hp_awvalid
output m_hp_wdata:64 m_hp_wstrb:8 m_hp_wlast m_hp_wvalid m_hp_bready
input m_hp_awready m_hp_wready m_hp_bresp:2 m_hp_bvalid
"""
_LITE = [(name, bits) for name, bits in (("awaddr", 8), ("awvalid", 1), ("wdata", 32), ("wstrb", 4), ("wvalid", 1), ("bready", 1))]
_LITE += [("araddr", 8), ("arvalid", 1), ("rready", 1), ("awready", 1), ("wready", 1), ("bresp", 2), ("bvalid", 1)]
_LITE += [("arready", 1), ("rdata", 32), ("rresp", 2), ("rvalid", 1)]
CASES = [Case("qlight_shell", {"BASE": base}, 32, 32, slow=slow) for base, slow in ((0x4000_0000, False), (0x7FFE_0000, True))]


def _ports() -> list[tuple[str, str, int]]:
    found = [("input", "clk", 1), ("input", "arst_n", 1), ("output", "rst_n", 1)]
    lines = [f"{kind} {text}" for kind, text in AXI3.items()] + _HP.strip().splitlines()
    for kind, *names in map(str.split, lines):
        found += [(kind, name, int(bits or 1)) for name, _, bits in (each.partition(":") for each in names)]
    return found


#: direction, name and bits of every port of an instance
PORTS = _ports()


def top_of(cases: Sequence[Case]) -> str:
    """Verilog of module `bench`, as `hw.tb.common.cases.top_of`, and of the module `loop` that its instances are of."""
    ports = [f"    {kind} logic [{bits - 1}:0] c{i}_{name}" for i in range(len(cases)) for kind, name, bits in PORTS]
    body = []
    for i, case in enumerate(cases):
        wires = ", ".join(f".{name}(c{i}_{name})" for _, name, _ in PORTS)
        body.append(f"  loop #(.BASE(32'h{case['BASE']:x})) i{i} ({wires});")
    return "module bench (\n" + ",\n".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n" + _loop()


def _loop() -> str:
    """A shell with an accelerator that gives every word back."""
    ports = ",\n".join(f"    {kind} logic [{bits - 1}:0] {name}" for kind, name, bits in PORTS)
    nets = "".join(f"  logic [{bits - 1}:0] lite_{name};\n" for name, bits in _LITE)
    outer = ", ".join(f".{name}({name})" for _, name, _ in PORTS)
    master = ", ".join(f".m_axi_{name}(lite_{name})" for name, _ in _LITE)
    slave = ", ".join(f".s_axi_{name}(lite_{name})" for name, _ in _LITE)
    return f"""// verilator lint_off DECLFILENAME
module loop #(parameter logic [31:0] BASE = '0) (
{ports}
);
{nets}  logic [31:0] in_data, out_data, cfg_data, ext_data, place;
  logic in_valid, in_ready, out_valid, out_ready, out_last, last_word, packet_last, pipeline_rst_n, cfg_start, cfg_valid;
  logic ext_write, ext_read, clear, idle, allowed;
  logic [5:0] ext_write_word, ext_read_word;
  qlight_shell #(.BASE(BASE)) i0 ({outer}, {master}, .m_axis_tdata(in_data), .m_axis_tvalid(in_valid),
    .m_axis_tready(in_ready), .s_axis_tdata(out_data), .s_axis_tvalid(out_valid), .s_axis_tready(out_ready), .s_axis_tlast(out_last));
  assign last_word = place == {IMAGE_WORDS - 1};
  assign out_last = last_word && packet_last;
  always_ff @(posedge clk) if (!pipeline_rst_n) place <= '0; else if (out_valid && out_ready) place <= last_word ? '0 : place + 1;
  qlight_control #(.INPUT_BYTES({4 * IMAGE_WORDS}), .CLASSES({IMAGE_WORDS}), .PARAMETER_WORDS(7)) accelerator (.clk(clk), .rst_n(rst_n),
    {slave}, .s_axis_tdata(in_data), .s_axis_tvalid(in_valid), .s_axis_tready(in_ready), .m_axis_tdata(out_data),
    .m_axis_tvalid(out_valid), .m_axis_tready(out_ready), .pipeline_rst_n(pipeline_rst_n), .cfg_start_o(cfg_start), .cfg_valid_o(cfg_valid),
    .cfg_data_o(cfg_data), .out_tvalid(out_valid), .out_tready(out_ready), .out_tlast(last_word), .out_packet_last(packet_last),
    .ext_write(ext_write), .ext_write_word(ext_write_word), .ext_write_data(ext_data), .ext_read(ext_read), .ext_read_word(ext_read_word),
    .ext_read_data(32'd0), .clear(clear), .idle(idle), .weights_allowed(allowed));
  logic unused;
  assign unused = &{{1'b0, cfg_start, cfg_valid, cfg_data, ext_write, ext_write_word, ext_data, ext_read, ext_read_word, clear, idle,
    allowed}};
endmodule
"""
