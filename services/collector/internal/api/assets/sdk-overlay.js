/* Maidian browser SDK, MIT */
"use strict";(()=>{var S=["queued","sending","waiting"],h=`
:host { all: initial; position: fixed; z-index: 2147483647; right: 12px; bottom: 12px; color-scheme: dark; }
section { width: min(380px, calc(100vw - 24px)); max-height: min(420px, 60vh); display: flex; flex-direction: column;
  font: 12px/1.5 ui-monospace, Menlo, Consolas, monospace; color: #e8eaf0; background: #14161c; border: 1px solid #343947;
  border-radius: 8px; box-shadow: 0 8px 30px #0009; overflow: hidden; }
header { display: flex; gap: 10px; align-items: center; padding: 6px 6px 6px 12px; background: #1d2029; }
header b { margin-right: auto; }
button { all: unset; cursor: pointer; padding: 0 8px; border-radius: 4px; font-size: 16px; line-height: 22px; }
button:hover, summary:hover { background: #2b303d; }
button:focus-visible, summary:focus-visible { outline: 2px solid #7aa2ff; outline-offset: -2px; }
p { margin: 0; padding: 2px 12px 6px; background: #1d2029; color: #a9b0c0; }
ol { margin: 0; padding: 0; list-style: none; overflow: auto; }
li { border-top: 1px solid #262a35; }
summary { display: flex; gap: 10px; padding: 3px 12px; cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
time { color: #8b93a5; }
summary span { flex: 1; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
em { font-style: normal; color: #a9b0c0; }
[data-fate=confirmed] em { color: #6fd58b; }
[data-fate=rejected] em, [data-fate=dropped] em, .why { color: #ff8f8f; }
[data-fate=waiting] em, [data-fate=waiting] .why { color: #f2c661; }
.why { padding: 0 12px 3px; overflow-wrap: anywhere; }
.why:empty { display: none; }
pre { margin: 0; padding: 4px 12px 8px; white-space: pre-wrap; overflow-wrap: anywhere; color: #c4cad8; }
`,t=(e,...o)=>{let a=document.createElement(e);return a.append(...o),a},v=e=>{if("adoptedStyleSheets"in e&&"replaceSync"in CSSStyleSheet.prototype){let o=new CSSStyleSheet;o.replaceSync(h),e.adoptedStyleSheets=[o]}else e.append(t("style",h))},k=e=>new Date(e!=null?e:Date.now()).toTimeString().slice(0,8),O=e=>{let o=t("em"),a=t("div");a.className="why";let l=t("span",String(e.event_type)),d=t("summary",t("time",k(e.timestamp)),l,o),c=t("li",t("details",d,t("pre",JSON.stringify(e,null,2))),a);return{item:c,become:(m,r="")=>{c.dataset.fate=o.textContent=m,a.textContent=r}}},g=()=>{let e=t("maidian-debug"),o=e.attachShadow({mode:"open"}),a=t("p"),l=t("ol"),d=t("button","\xD7");d.type="button",d.ariaLabel="Close";let c=t("section",t("header",t("b","Maidian"),d),a,l);for(let n of[e,c])n.dataset.noTrack="";v(o),o.append(c),document.documentElement.append(e);let m=()=>e.remove();d.addEventListener("click",m);let r=new Map,x=new Set,f={confirmed:0,rejected:0,dropped:0},b=(n,y)=>{var i;let u=r.get(n);if(u)return u;let p=O(y);r.set(n,p),l.prepend(p.item);let[s]=r.keys();return r.size>200&&((i=r.get(s))==null||i.item.remove(),r.delete(s)),p},w=(n,y,u)=>{var p;for(let s of y){let i=String(s.event_id);b(i,s).become(n,u),S.includes(n)?x.add(i):x.delete(i)}n in f&&(f[n]=((p=f[n])!=null?p:0)+y.length),a.textContent=[`${x.size} waiting`,...Object.entries(f).map(([s,i])=>`${i} ${s}`)].join(" \xB7 ")};return w("queued",[]),{show:w,close:m}};window.maidian.openOverlay=g;})();
