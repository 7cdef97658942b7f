"""The look of the morning report: one column on a phone, two tiles more on a desk, light and dark."""

STYLE = """
:root{--back:#f4f5f7;--card:#fff;--text:#1c2026;--muted:#68707c;--line:#e3e6ea;--accent:#2f6fde;
--up:#d3263f;--down:#1f62d0;--good:#e6f4ea;--good-text:#1d6b37;--warn:#fff3dc;--warn-text:#8a5300}
@media(prefers-color-scheme:dark){:root{--back:#14171b;--card:#1e2227;--text:#e8eaed;--muted:#9aa3ae;--line:#31363d;
--accent:#7fa9ff;--up:#ff7b88;--down:#7fb0ff;--good:#1d3325;--good-text:#8fdca8;--warn:#3a2d14;--warn-text:#ffc978}}
*{box-sizing:border-box;margin:0}
body{background:var(--back);color:var(--text);-webkit-text-size-adjust:100%;word-break:keep-all;overflow-wrap:anywhere;
font:15px/1.5 -apple-system,BlinkMacSystemFont,"Apple SD Gothic Neo","Malgun Gothic","Noto Sans KR","Noto Sans CJK KR",
sans-serif}
main{max-width:720px;margin:0 auto;padding:20px 12px 40px}
header{padding:4px 6px 14px}
.brand{color:var(--accent);font-weight:600;font-size:13px}
h1{font-size:24px;line-height:1.3;letter-spacing:-.01em}
h2{font-size:16px;margin-bottom:8px}
h3{font-size:14px;margin:10px 0 4px}
h2+h3{margin-top:0}
.muted,small{color:var(--muted);font-size:13px}
.verdict{margin-top:12px;padding:9px 12px;border-radius:10px;font-weight:600}
.good{background:var(--good);color:var(--good-text)}
.warn{background:var(--warn);color:var(--warn-text)}
section{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px;margin-bottom:12px}
.tiles{display:grid;grid-template-columns:1fr 1fr;gap:10px;background:none;border:0;padding:0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:12px 14px}
.tile .name{color:var(--muted);font-size:13px}
.value{font-size:19px;font-weight:700;letter-spacing:-.02em;font-variant-numeric:tabular-nums;line-height:1.35}
.up{color:var(--up)}
.down{color:var(--down)}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
th{color:var(--muted);font-weight:500;font-size:12.5px}
th,td{text-align:left;padding:6px 0 6px 10px;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{padding-left:0;white-space:nowrap}
tbody tr:last-child td{border-bottom:0}
tfoot td{border-top:1px solid var(--line);border-bottom:0;font-weight:600}
.number{text-align:right;white-space:nowrap}
.number small{display:block;line-height:1.2}
ul{padding-left:18px}
li{margin:3px 0}
.troubles{list-style:none;padding:0}
.troubles li{padding:8px 0;border-bottom:1px solid var(--line)}
.troubles li:first-child{padding-top:0}
.troubles li:last-child{border-bottom:0;padding-bottom:0}
.times{color:var(--muted);font-size:12px;border:1px solid var(--line);border-radius:99px;padding:0 7px;
white-space:nowrap}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 10px;margin-top:4px;font-size:13.5px}
dt{color:var(--muted)}
.todo{font-weight:600;color:var(--warn-text)}
details{margin-top:6px}
summary{cursor:pointer;color:var(--accent);padding:4px 0}
svg{display:block;width:100%;height:auto;max-width:600px;margin:0 auto}
svg text{fill:var(--muted);font-size:12px}
.grid{stroke:var(--line)}
.line{fill:none;stroke:var(--accent);stroke-width:2;stroke-linejoin:round}
.area{fill:var(--accent);opacity:.12}
.dot{fill:var(--accent)}
footer{padding:2px 6px}
@media(min-width:620px){svg text{font-size:7.5px}.tiles{grid-template-columns:repeat(3,1fr)}main{padding-top:32px}}
"""
