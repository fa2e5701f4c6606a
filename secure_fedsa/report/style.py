"""The look of the report: one inline style sheet, light and dark, screen and paper."""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--wash:#f4f6f8;--ink:#1b2530;--soft:#55616d;
--rule:#d5dce3;--accent:#1d5d8c;--quiet:#8796a5;--calm:#1c6a50;--calm-wash:#e9f4ef;
--amber:#8a5300;--alarm:#a5121a;--chip:#e6edf3}
@media(prefers-color-scheme:dark){:root{--paper:#11161c;--wash:#1a2129;--ink:#e5eaef;
--soft:#a2aeba;--rule:#323c47;--accent:#7cb7e2;--quiet:#71808f;--calm:#7fd0b0;
--calm-wash:#15271f;--amber:#e8b259;--alarm:#a5121a;--chip:#26303a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
overflow-wrap:anywhere}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.25rem}
h1{font-size:1.75rem;line-height:1.25;margin:.2rem 0 .8rem;letter-spacing:-.01em}
h2{font-size:1.2rem;line-height:1.3;margin:0 0 .7rem}
h3{font-size:1rem;margin:1.5rem 0 .4rem}
section{padding:1.9rem 0 .6rem;border-top:1px solid var(--rule);margin-top:1.6rem}
p,ul,ol{margin:0 0 .8rem;max-width:46rem}
ul,ol{padding-left:1.25rem}
li{margin:.25rem 0}
code{font:.88em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.eyebrow,.run{color:var(--soft);font-size:.86rem;margin:0}
.eyebrow{text-transform:uppercase;letter-spacing:.07em;font-weight:600}
.lead{font-size:1.08rem}
.note{color:var(--soft);font-size:.92rem}
.banner{border-radius:6px;padding:.85rem 1.1rem;margin:1.2rem 0;max-width:none}
.banner p{margin:0;max-width:none}
.plain{background:var(--wash);border-left:5px solid var(--quiet)}
.plain p+p{margin-top:.4rem}
.calm{background:var(--calm-wash);border-left:5px solid var(--calm)}
.calm strong{color:var(--calm)}
.alarm{background:var(--alarm);color:#fff;font-size:1.12rem;border:3px solid #fff;
outline:3px solid var(--alarm)}
.alarm strong{display:block;font-size:1.35rem;line-height:1.3}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(14rem,1fr));gap:.9rem;
margin:1.3rem 0 0;padding:0}
.figures div{background:var(--wash);border-radius:6px;padding:.9rem 1.1rem}
.figures dt{color:var(--soft);font-size:.88rem;font-weight:600}
.figures dd{margin:0}
.figures .big{font-size:1.95rem;line-height:1.3;font-weight:650;letter-spacing:-.02em;
font-variant-numeric:tabular-nums}
.figures .small{font-size:.88rem;color:var(--soft)}
.scroll{overflow-x:auto;margin:.4rem 0 1.1rem}
table{border-collapse:collapse;width:100%;font-size:.93rem}
caption{text-align:left;color:var(--soft);font-size:.88rem;padding:0 0 .45rem}
th,td{text-align:left;vertical-align:top;padding:.45rem .9rem .45rem 0;
border-bottom:1px solid var(--rule);font-variant-numeric:tabular-nums;overflow-wrap:break-word}
bdi,code{overflow-wrap:anywhere}
thead th{color:var(--soft);font-size:.84rem;font-weight:600;border-bottom-width:2px}
tbody th{font-weight:600}
td:last-child,th:last-child{padding-right:0}
.bars tbody th{width:31%}
.bars td:last-child{width:42%;min-width:8rem}
.nums td:nth-child(2),.bars td:nth-child(2){white-space:nowrap}
.bars .sub{display:block;font-weight:400;color:var(--soft);font-size:.86rem}
.bars svg{display:block;width:100%;height:1.3rem}
.track{fill:var(--wash)}.bar{fill:var(--quiet)}.bar.own{fill:var(--accent)}
.mark{stroke:var(--ink);stroke-width:2;stroke-dasharray:4 3}
.zero{stroke:var(--soft);stroke-width:1}
.pill{display:inline-block;border-radius:.75rem;padding:.02rem .6rem;font-size:.84rem;
background:var(--chip)}
.pill.on{background:var(--accent);color:var(--paper);font-weight:600}
details{margin:.6rem 0}
summary{cursor:pointer;font-weight:600;padding:.3rem 0}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;list-style:none;padding:0;
font-size:.88rem;color:var(--soft);max-width:none}
.key svg{width:2.4rem;height:.8rem;margin-right:.45rem;vertical-align:middle}
.flow{display:block;width:100%;height:auto}
.flow text{fill:var(--ink);font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
paint-order:stroke;stroke:var(--paper);stroke-width:5px;stroke-linejoin:round}
.flow .head{fill:var(--wash);stroke:var(--rule)}
.flow .name{font-weight:650;stroke:none}
.flow .life{stroke:var(--rule);stroke-width:1.5}
.flow .phase{font-weight:650;fill:var(--soft);letter-spacing:.03em}
.flow .cut{stroke:var(--rule)}
.flow .chip{fill:var(--chip)}.flow .chip.on{fill:var(--accent)}
.flow .chiptext{stroke:none}.flow .chiptext.on{fill:var(--paper);font-weight:600}
.arrow{stroke:var(--ink);stroke-width:1.6;fill:none}
.tip{fill:var(--ink);stroke:none}
.arrow.sealed{stroke:var(--accent);stroke-dasharray:6 4}.tip.sealed{fill:var(--accent)}
.arrow.hidden{stroke:var(--calm);stroke-width:4}.tip.hidden{fill:var(--calm)}
.arrow.open{stroke:#d3262f;stroke-width:4}.tip.open{fill:#d3262f}
.flow .fine{fill:var(--soft)}
.flow .act{fill:var(--wash);stroke:var(--quiet)}
.flow .act.noise{stroke:var(--amber);stroke-width:2.5}
.flow .act.fake{fill:var(--alarm);stroke:var(--alarm)}
.flow .acttext{stroke:none}.flow .acttext.on-fake{fill:#fff;font-weight:700}
.narrow{display:none}
footer{color:var(--soft);font-size:.88rem;padding-top:1.2rem;padding-bottom:3rem}
@media(max-width:44rem){
h1{font-size:1.4rem}header{padding-top:1.4rem}main,header,footer{padding-left:1rem;
padding-right:1rem}.wide{display:none}.narrow{display:block}
.figures{gap:.6rem}.figures .big{font-size:1.6rem}
.stack thead{position:absolute;left:-200vw}
.stack,.stack tbody,.stack tr,.stack th,.stack td{display:block;width:auto}
.stack tr{border-bottom:1px solid var(--rule);padding:.55rem 0}
.nums td:nth-child(2),.bars td:nth-child(2){white-space:normal}
.stack th,.stack td,.bars tbody th,.bars td:last-child{border:0;padding:.08rem 0;width:auto}
.stack td[data-label]::before{content:attr(data-label) ": ";color:var(--soft);
font-size:.88rem}
.bars.stack td:last-child::before{content:none}
.stack caption{display:block}}
@media print{:root{--paper:#fff;--wash:#f4f6f8;--ink:#000;--soft:#444;--rule:#bbb;
--accent:#1d5d8c;--quiet:#8796a5;--calm:#1c6a50;--calm-wash:#e9f4ef;--amber:#8a5300;
--chip:#e6edf3}body{font-size:10.5pt}*{print-color-adjust:exact;
-webkit-print-color-adjust:exact}
section{break-inside:auto}tr,.banner,.figures div{break-inside:avoid}
h2,h3,caption{break-after:avoid}.flow{max-height:24cm}.scroll{overflow:visible}}
"""
