"""How the report looks: one style sheet, light and dark as the reader's system is, and fit for paper."""

STYLE = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#16202c;--soft:#5b6877;--line:#dfe4ea;--grid:#e9edf1;
--c1:#1f6fd1;--c2:#0e8f83;--c3:#c4590c;--c4:#8a4bc9;--good:#12703c;--goodbg:#e3f4ea;--bad:#b3261e;--badbg:#fbe9e7;
--plainbg:#eef1f5;--band:#e5484d}
@media (prefers-color-scheme:dark){:root{--page:#10151b;--card:#182029;--ink:#e7ecf2;--soft:#9aa8b8;--line:#2b3642;
--grid:#26303b;--c1:#64a8ff;--c2:#3fc9b8;--c3:#ff9d57;--c4:#c39bff;--good:#6fdc9c;--goodbg:#143524;--bad:#ff9d94;
--badbg:#43201e;--plainbg:#222c37;--band:#ff6b70}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1040px;margin:0 auto;padding:32px 20px 48px}
.over{margin:0;color:var(--soft);font-size:13px}
h1{margin:2px 0 10px;font-size:28px;line-height:1.25;overflow-wrap:anywhere}
h2{display:flex;flex-wrap:wrap;gap:4px 18px;align-items:baseline;margin:0 0 8px;font-size:15px}
.verdict{display:inline-block;margin:0 0 20px;padding:6px 14px;border-radius:8px;background:var(--plainbg)}
.verdict.good{background:var(--goodbg);color:var(--good)}
.verdict.bad{background:var(--badbg);color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 16px}
.tiles div,section,details{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tiles div{padding:12px 16px}
dt{color:var(--soft);font-size:13px}
dd{margin:0;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums;white-space:nowrap}
.tiles p{margin:0;color:var(--soft);font-size:12px}
section,details{margin:0 0 12px;padding:16px 18px}
section p{margin:0 0 8px}
svg{display:block;width:100%;height:auto}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.line.c1{stroke:var(--c1)}.line.c2{stroke:var(--c2)}.line.c3{stroke:var(--c3)}
.line.c4{stroke:var(--c4);stroke-dasharray:6 4}
.area{stroke:none;fill-opacity:.16}
.area.c1{fill:var(--c1)}.area.c2{fill:var(--c2)}.area.c3{fill:var(--c3)}
.dot{opacity:0}.dot:hover,.dot.alone{opacity:1}
.dot.c1{fill:var(--c1)}.dot.c2{fill:var(--c2)}.dot.c3{fill:var(--c3)}.dot.c4{fill:var(--c4)}
.grid{stroke:var(--grid)}.axis{stroke:var(--soft);stroke-opacity:.6}
.tick{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.mark{stroke:var(--ink);stroke-dasharray:2 3;stroke-opacity:.7}
.disc{fill:var(--ink)}.number{fill:var(--card);font-size:11px;font-weight:600}
.band{fill:var(--band);fill-opacity:.28}
.key{color:var(--soft);font-size:13px;font-weight:400}
.key::before,.swatch{content:"";display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle;border-radius:2px}
.key.c1::before{background:var(--c1)}.key.c2::before{background:var(--c2)}.key.c3::before{background:var(--c3)}
.key.c4::before{background:repeating-linear-gradient(90deg,var(--c4) 0 5px,transparent 5px 8px)}
.swatch{height:12px;background:var(--band);opacity:.45}
.legend{margin:-4px 0 14px;padding:0 18px;color:var(--soft);font-size:13px}
.actions{margin:0;padding-left:24px}.actions li{padding:3px 0}
.when{display:inline-block;min-width:60px;color:var(--soft);font-variant-numeric:tabular-nums}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:4px 22px 4px 0;text-align:left;vertical-align:top;font-weight:400}
th{color:var(--soft);white-space:nowrap}
.facts td{overflow-wrap:anywhere}
.looks{font-size:13px}.looks td{border-top:1px solid var(--grid);white-space:nowrap}
.wide{overflow-x:auto}
summary{cursor:pointer;color:var(--soft)}
details[open] summary{margin-bottom:10px}
.none,footer{color:var(--soft)}
footer{margin-top:20px;font-size:13px}
@media print{body{background:#fff}section,.tiles div{break-inside:avoid}details{display:none}}
"""
